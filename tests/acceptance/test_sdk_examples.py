"""Each example in a public docstring of the SDK does what it says, against a running service."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import pytest
import stepline
from stepline.client import Client

from tests.acceptance.conftest import Deployment
from tests.examples import examples_of, public, run

EXAMPLES = {name: item for name, item in public().items() if examples_of(item)}


@pytest.mark.parametrize("deployment", ["embedded"], indirect=True)
@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_does_what_it_says(
    deployment: Deployment, name: str, tmp_path: Path
) -> None:
    item = EXAMPLES[name]
    async with Client(deployment.url) as client:
        task = await client.submit("quick", {"numbers": [1, 2, 3]}, wait=10)
        names = {
            **vars(inspect.getmodule(item) or stepline),
            **{each: getattr(stepline, each) for each in stepline.__all__},
            "client": client,
            "task": task,
            "url": deployment.url,
            "folder": tmp_path,
        }

        assert await run(examples_of(item), names) == ""


@pytest.mark.parametrize(
    "docstring", [">>> 1 + 1\n3", ">>> await client.none()\n", ">>> int('x')\n0", ">>> print(1)\n"]
)
async def test_an_example_that_does_something_else_is_found_out(docstring: str) -> None:
    examples = doctest.DocTestParser().get_examples(docstring)

    assert await run(examples, {"client": object()}) != ""
