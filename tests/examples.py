"""The examples in the SDK's docstrings: what there is, and how they are run.

They read as in `python -m asyncio`, where `await` needs no function around it.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import traceback
from collections.abc import Iterator
from typing import Any

import stepline
import stepline.client
import stepline.sync
import stepline.testing
from pydantic import BaseModel
from stepline.client.submitting import Submitting

CHECKER = doctest.OutputChecker()
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public() -> dict[str, Any]:
    """Everything public that has a docstring of its own, by name. The wire models are left out:
    their docstrings are descriptions in OpenAPI, and their examples are there."""
    found: dict[str, Any] = {}
    for module in (stepline, stepline.client, stepline.testing):
        for name in module.__all__:
            found[f"{module.__name__}.{name}"] = getattr(module, name)
    found["stepline.sync.Client"] = stepline.sync.Client
    for kind in {type(part) for part in vars(_client()).values() if _is_part(part)}:
        found[f"{kind.__module__}.{kind.__name__}"] = kind
    for kind in [item for item in found.values() if inspect.isclass(item)]:
        found |= dict(_methods(kind))
    return {name: item for name, item in sorted(found.items()) if not _is_wire_model(item)}


def _client() -> stepline.client.Client:
    return stepline.client.Client()


def _is_part(value: object) -> bool:
    module = type(value).__module__
    return module.startswith("stepline.client.") and type(value).__name__ != "Transport"


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    if not kind.__module__.startswith(("stepline.client", "stepline.sync")):
        return
    for owner in (kind, Submitting) if issubclass(kind, Submitting) else (kind,):
        for name, value in vars(owner).items():
            if not name.startswith("_") and inspect.isfunction(value):
                yield f"{kind.__module__}.{kind.__name__}.{name}", value


def _is_wire_model(item: Any) -> bool:
    if not inspect.isclass(item):
        return not inspect.isroutine(item)  # a union of them
    return issubclass(item, BaseModel) or item.__module__.startswith("stepline.contract")


def examples_of(item: Any) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(item) or "")


async def run(examples: list[doctest.Example], names: dict[str, Any]) -> str:
    """Run them one after the other; what is not as it says, or nothing."""
    for example in examples:
        output = io.StringIO()
        code = compile(
            example.source, "<example>", "single", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        with contextlib.redirect_stdout(output):
            try:
                done = eval(code, names)
                if inspect.isawaitable(done):
                    await done
            except Exception as error:
                if example.exc_msg is None:
                    return f"{example.source}{traceback.format_exc()}"
                if f"{type(error).__name__}: {error}" not in example.exc_msg.split(".")[-1]:
                    return f"{example.source}raised {error!r}"
                continue
        if not CHECKER.check_output(example.want, output.getvalue(), FLAGS):
            return f"{example.source}wanted {example.want}got {output.getvalue()}"
    await asyncio.sleep(0)
    return ""
