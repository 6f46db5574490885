"""The transformations by name: importing this package registers them all."""

from handlers.transforms import contact, numeric, template, text
from handlers.transforms.registry import (
    BadTransform,
    Misfit,
    Step,
    parse_step,
    transform_names,
)

__all__ = [
    "BadTransform",
    "Misfit",
    "Step",
    "contact",
    "numeric",
    "parse_step",
    "template",
    "text",
    "transform_names",
]
