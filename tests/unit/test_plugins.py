"""Task types from other packages: what is taken, what stops the start, and what it then says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from stepline.authoring import Context, TaskType, handler, task_type

from api.routes import task_types
from handlers import plugins
from handlers.builtin import TYPES
from handlers.plugins import BrokenPlugin, full_registry
from handlers.registry import RESERVED, Registry


class Greeting(BaseModel):
    name: str


class Waiting(BaseModel):
    delay: int


class Shapeless(BaseModel):
    """Takes what no JSON document can say."""

    call: Callable[[], None]


@handler
async def greet(ctx: Context, payload: Greeting) -> str:
    return f"Hello {payload.name}"


def a_type(name: str = "greet", **more: Any) -> TaskType:
    more.setdefault("handlers", [greet])
    more.setdefault("payload", Greeting)
    return task_type(name, **more)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """An importable module of the test's own, `a_plugin`."""
    made = ModuleType("a_plugin")
    monkeypatch.setitem(sys.modules, "a_plugin", made)
    yield made


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`install("module:name", …)` declares entry points as an installed package would."""

    def declare(*values: str) -> None:
        points = [EntryPoint(value, value, plugins.GROUP) for value in values]
        monkeypatch.setattr(plugins, "entry_points", lambda group: points)

    return declare


def test_a_type_a_list_and_a_module_are_taken(module: ModuleType, install: Any) -> None:
    module.ONE = a_type("one")  # type: ignore[attr-defined]
    module.SOME = [a_type("two"), a_type("three")]  # type: ignore[attr-defined]
    install("a_plugin:ONE", "a_plugin:SOME")
    assert {item.name for item in full_registry().types} >= {"one", "two", "three"}

    install("a_plugin")  # its top level has ONE alone
    names = {item.name for item in full_registry().types} - {item.name for item in TYPES}
    assert names == {"one"}


def test_its_queue_is_one_of_the_queues(module: ModuleType, install: Any) -> None:
    module.T = a_type(queue="greetings")  # type: ignore[attr-defined]
    install("a_plugin")

    assert "greetings" in full_registry().queues({})


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("a_plugin:missing", "missing"),
        ("a_plugin:NUMBER", "is no task type"),
        ("a_plugin:MIXED", "Handler.* is among the task types, and is none"),
        ("a_plugin", "is no task type, and has none"),
    ],
)
def test_a_broken_plugin_stops_the_start(
    module: ModuleType, install: Any, value: str, says: str
) -> None:
    module.NUMBER = 5  # type: ignore[attr-defined]
    module.MIXED = [a_type(), greet]  # type: ignore[attr-defined]
    install(value)

    with pytest.raises(BrokenPlugin, match=says) as refusal:
        full_registry()

    assert refusal.value.code == "broken_plugin"
    assert value in refusal.value.message


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"name": "quick"}, "there is a task type 'quick' already"),
        ({"name": "active"}, "taken by the API"),
        ({"queue": "history"}, "no queue may be named 'history'"),
        ({"queue": "Not A Queue"}, "no queue may be named"),
        ({"handlers": []}, "it has no handlers"),
        ({"timeout": 0}, "seconds above 0"),
        ({"timeout": float("inf")}, "seconds above 0"),
        ({"handlers": [handler(timeout=-1)(greet.run)]}, "seconds above 0"),
        ({"payload": Shapeless}, "no JSON schema"),
        ({"schedule": "every day"}, "its schedule"),
        ({"schedule": "* * * * *", "timezone": "Mars/Olympus"}, "its schedule"),
        ({"schedule": "* * * * *"}, "name"),  # its payload needs a name
    ],
)
def test_a_type_that_cannot_work_is_refused(
    module: ModuleType, install: Any, declared: dict[str, Any], says: str
) -> None:
    module.T = a_type(**declared)  # type: ignore[attr-defined]
    install("a_plugin")

    with pytest.raises(BrokenPlugin, match=says):
        full_registry()


def test_a_payload_may_not_have_what_every_submission_has(module: ModuleType, install: Any) -> None:
    module.T = task_type("waits", payload=Waiting, handlers=[greet])  # type: ignore[attr-defined]
    install("a_plugin")

    with pytest.raises(BrokenPlugin, match="'delay', which every submission has already"):
        full_registry()


def test_a_chain_may_use_another_type_s_handler_by_name() -> None:
    registry = Registry([a_type(), a_type("twice", handlers=["greet", "greet"])])
    registry.check_names()

    assert list(registry.type("twice").plan(Greeting(name="Ada"))) == ["greet", "greet"]


def test_a_handler_that_nobody_declares_is_told() -> None:
    registry = Registry([a_type("lost", handlers=["nobody_s"])])

    with pytest.raises(Exception, match="'nobody_s', which nobody declares"):
        registry.check_names()


@pytest.mark.parametrize("name", ["Upper", "with-dash", "", "ä", "a" * 64, "1st"])
def test_a_type_s_name_is_plain(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case letter"):
        a_type(name)


def test_a_submission_has_the_payload_s_fields_and_everybody_s() -> None:
    model = Registry([a_type()]).submission("greet")

    assert set(model.model_fields) == {
        "name",
        "task_name",
        "delay",
        "run_at",
        "expires_in",
        "deadline",
    }
    assert issubclass(model, Greeting)
    with pytest.raises(ValueError, match="surprise"):
        model.model_validate({"name": "Ada", "surprise": 1})


def test_the_words_of_the_api_s_own_routes_are_reserved() -> None:
    """A type of such a name could not be submitted, or would hide the route."""
    from api.app import ROUTES

    paths = {route.path for routes in ROUTES for route in routes.router.routes}
    words = {path.split("/")[2] for path in paths if path.startswith("/tasks/")}
    fixed = {word.replace("-", "_") for word in words if word and "{" not in word}

    assert fixed - {item.name for item in TYPES} <= RESERVED


def test_payloads_of_one_name_keep_their_own_schemas() -> None:
    class Other(BaseModel):
        place: str

    Other.__name__ = Other.__qualname__ = Greeting.__name__
    registry = Registry([a_type(), a_type("other", payload=Other)])
    app = FastAPI()
    task_types.install(app, registry)

    schema = app.openapi()

    for path, field in (("/tasks/greet", "name"), ("/tasks/other", "place")):
        body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        name = body["schema"]["$ref"].rpartition("/")[2]
        assert field in schema["components"]["schemas"][name]["properties"]
