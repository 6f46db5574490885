"""The dashboard's parts that need no browser: words, colours, forms, sharing, who is let in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from stepline.errors import ConnectionFailed

from dashboard.covering import COVER, SECRET, NothingCovered, covered, uncovered
from dashboard.guard import Guard
from dashboard.i18n import TABLES, Texts, choose_language
from dashboard.kit import DataTable
from dashboard.live import Live, Poll
from dashboard.pages import NAVIGATION, ROUTES
from dashboard.pages.task_list import TaskList, surely_fits
from dashboard.pages.task_parts import lanes_of
from dashboard.schema_form import WrongField, from_text, kind_of, to_text
from dashboard.shell import find_page
from dashboard.source import Source
from tests.waiting import wait_for

DASHBOARD = Path(__file__).parents[2] / "dashboard"
WEB = DASHBOARD / "web"


# Words


def test_every_language_has_the_same_words_with_the_same_gaps() -> None:
    def gaps(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    english, chinese = TABLES["en"], TABLES["zh"]
    assert english.keys() == chinese.keys()
    assert [key for key in english if gaps(english[key]) != gaps(chinese[key])] == []


def test_every_word_asked_for_is_there_and_every_one_there_is_asked_for() -> None:
    python = "\n".join(
        path.read_text() for path in DASHBOARD.rglob("*.py") if "i18n" not in path.parts
    )
    script = "\n".join(path.read_text() for path in WEB.rglob("*.js"))
    asked = set(re.findall(r'\b(?:self\._?t|t|texts)\(\s*"(\w+)"', python))
    asked |= set(re.findall(r"""text\(['"](\w+)['"][,)]""", script))
    assert asked - TABLES["en"].keys() == set()
    everything = python + script + (DASHBOARD / "i18n" / "__init__.py").read_text()
    built = ("status_", "bulk_", "wait_", "concern_", "figure_", "last_", "tab_", "part_", "link_")
    built += ("outcome_", "ended_", "login_", "any_")
    unused = [
        key
        for key in TABLES["en"]
        if not key.startswith(built) and not re.search(rf"""['"]{key}['"]""", everything)
    ]
    assert unused == []


@pytest.mark.parametrize(
    ("cookie", "accepted", "chosen"),
    [
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "fr,en-GB;q=0.7", "en"),
        (None, "fr", "en"),
        ("zh", "en", "zh"),
        ("xx", "zh-TW", "zh"),
    ],
)
def test_the_language_is_the_one_asked_for(cookie: str | None, accepted: str, chosen: str) -> None:
    assert choose_language(cookie, accepted) == chosen


# Looks


def colours(theme: str) -> dict[str, str]:
    text = (WEB / "tokens.css").read_text()
    blocks = re.findall(r"(:root[^{]*)\{([^}]*)\}", text)
    found: dict[str, str] = {}
    for selector, body in blocks:
        if theme in selector or "data-theme" not in selector:
            found |= dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", body))
    return found


def luminance(colour: str) -> float:
    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


STATES = ("pending", "scheduled", "running", "retrying", "success", "failure", "cancelled")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_enough_contrast_on_every_ground(theme: str) -> None:
    """WCAG AA: 4.5 to 1."""
    tokens = colours(theme)
    grounds = ("page", "surface", "raised", "sunken", "hover")
    pairs = [(ink, ground) for ink in ("ink", "soft", "faint", "accent") for ground in grounds]
    pairs += [
        (state, ground) for state in STATES for ground in ("page", "surface", f"{state}-soft")
    ]
    pairs += [("accent", "accent-soft"), ("on-accent", "accent"), ("ink", "accent-soft")]
    pairs += [("ink", f"{state}-soft") for state in STATES]

    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(tokens[one]), luminance(tokens[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    weak = {pair: round(contrast(*pair), 2) for pair in pairs if contrast(*pair) < 4.5}
    assert weak == {}


# Safety


def test_nothing_makes_markup_of_data() -> None:
    forbidden_script = re.compile(
        r"v-html|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\("
    )
    forbidden_python = re.compile(
        r"ui\.(html|markdown|restructured_text|chat_message|log)\b|html=True"
    )
    for path in WEB.rglob("*.js"):
        assert not forbidden_script.search(path.read_text()), path.name
    for path in DASHBOARD.rglob("*.py"):
        assert not forbidden_python.search(path.read_text()), path.name


def served(hosts: tuple[str, ...]) -> TestClient:
    async def hello(_: Any) -> PlainTextResponse:
        return PlainTextResponse("hello")

    return TestClient(Guard(Starlette(routes=[Route("/", hello)]), hosts))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:5555"}, 200),
        ({"host": "[::1]:5555"}, 200),
        ({"host": "evil.example"}, 400),
        ({"host": "localhost:5555", "origin": "http://localhost:5555"}, 200),
        ({"host": "localhost:5555", "origin": "http://evil.example"}, 400),
        ({"host": "localhost:5555", "origin": "null"}, 400),
    ],
)
def test_other_hosts_and_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    client = served(("localhost", "::1"))
    assert client.get("/", headers=headers).status_code == status


def test_nothing_is_loaded_from_elsewhere_and_nobody_frames_the_pages() -> None:
    policy = served(("*",)).get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy


def test_secrets_are_covered_while_edited_and_put_back_when_sent() -> None:
    payload = {"user": "ada", "api_key": "k", "list": [{"Password": {"old": 1}}, {"token": ""}]}
    shown = covered(payload)
    assert shown == {"user": "ada", "api_key": COVER, "list": [{"Password": COVER}, {"token": ""}]}
    assert uncovered(shown, payload) == payload
    assert uncovered({**shown, "user": "grace", "api_key": "new"}, payload) == {
        **payload,
        "user": "grace",
        "api_key": "new",
    }
    with pytest.raises(NothingCovered):
        uncovered({"elsewhere": COVER}, payload)


def test_browser_and_server_cover_the_same_names() -> None:
    in_browser = re.search(r"const SECRET = /(.*)/i;", (WEB / "sl_json.js").read_text())
    assert in_browser is not None
    assert in_browser[1] == SECRET.pattern


# Addresses


def test_every_page_in_the_navigation_is_one() -> None:
    paths = [path for _, items in NAVIGATION for path, _, _ in items]
    assert all(find_page(path) is not None for path in paths)
    assert {path for path, _ in ROUTES if "{" not in path} == set(paths)


def test_an_address_is_read_with_its_query_and_its_names() -> None:
    found = find_page("/tasks/01-ab?tab=events&x=%E4%BB%BB")
    assert found is not None
    assert (found.path, found.names) == ("/tasks/01-ab", {"task_id": "01-ab"})
    assert found.query == {"tab": "events", "x": "任"}
    assert find_page("/tasks/a/b") is None


# Forms


@pytest.mark.parametrize(
    ("schema", "kind", "text", "value"),
    [
        ({"type": "string"}, "text", " as it is ", " as it is "),
        ({"type": "integer"}, "integer", "30", 30),
        ({"type": "number"}, "number", "0.5", 0.5),
        ({"type": "boolean"}, "choice", "false", False),
        ({"enum": ["a", "b"]}, "choice", "b", "b"),
        ({"type": "array", "items": {"type": "integer"}}, "list", "1\n2, 3", [1, 2, 3]),
        (
            {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "number"}]}},
            "list",
            "1\n2.5",
            [1, 2.5],
        ),
        ({"type": "array", "items": {"type": "string"}}, "list", "a, b\nc", ["a, b", "c"]),
        ({"type": "object"}, "json", '{"a": 1}', {"a": 1}),
        ({"type": "string"}, "text", "", None),
    ],
)
def test_a_field_reads_what_is_typed(
    schema: dict[str, Any], kind: str, text: str, value: Any
) -> None:
    assert kind_of(schema) == kind
    assert from_text(schema, text) == value
    assert from_text(schema, to_text(kind, value)) == value


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer"}, "one"),
        ({"type": "object"}, "{"),
        ({"type": "array", "items": {"type": "integer"}}, "1, x"),
    ],
)
def test_a_field_says_what_it_cannot_read(schema: dict[str, Any], text: str) -> None:
    with pytest.raises(WrongField):
        from_text(schema, text)


# Sharing


class Api(Source):
    """Answers what a test lets it answer."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", None)
        self.events: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()
        self.subscriptions: list[str | None] = []

    async def feed(self, after: str | None) -> Any:
        self.subscriptions.append(after)
        while True:
            event = await self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event


async def test_one_subscription_serves_all_viewers_and_goes_on_where_it_broke_off() -> None:
    api = Api()
    live = Live(api)
    heard: list[list[str]] = [[], []]

    def ear(mine: list[str]) -> Callable[[Any], None]:
        return lambda events: mine.extend(event["kind"] for event in events)

    stops = [live.subscribe(ear(mine)) for mine in heard]
    first = {"id": "7-0:0", "task_id": "t", "kind": "queued"}
    await api.events.put(first)
    await wait_for(lambda: all("queued" in mine for mine in heard))
    await api.events.put(ConnectionFailed("gone"))
    await wait_for(lambda: all("connection" in mine for mine in heard))
    assert not live.connected
    await wait_for(lambda: api.subscriptions == [None, "7-0:0"])
    await api.events.put({**first, "id": "8-0:0"})
    await wait_for(lambda: live.connected)
    for stop in stops:
        stop()
    await live.close()
    await api.close()


async def test_the_feed_is_let_go_when_nobody_looks_and_taken_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashboard.live.LINGER", 0.0)
    api = Api()
    live = Live(api)
    live.subscribe(lambda events: None)()
    await wait_for(lambda: api.subscriptions == [None])
    await wait_for(lambda: not live.following)
    heard: list[Any] = []
    stop = live.subscribe(heard.extend)
    await api.events.put({"id": "1-0:0", "task_id": "t", "kind": "queued"})
    await wait_for(lambda: bool(heard))
    stop()
    await live.close()
    await api.close()


async def test_a_question_is_asked_once_for_all_who_ask_it() -> None:
    asked = 0
    answered = asyncio.Event()

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await answered.wait()
        return asked

    api = Api()
    live = Live(api)
    waiting = [asyncio.create_task(live.once("same", ask)) for _ in range(50)]
    await asyncio.sleep(0)
    answered.set()
    assert await asyncio.gather(*waiting) == [1] * 50
    await api.close()


async def test_a_poll_asks_only_while_somebody_looks() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        return asked

    poll = Poll(ask, every=0.01)
    seen: list[int] = []
    stop = poll.watch(seen.append)
    await wait_for(lambda: bool(seen))
    stop()
    before = asked
    await asyncio.sleep(0.3)
    assert asked == before


async def test_a_poll_tells_what_stands_in_the_way_and_goes_on() -> None:
    answers: list[Any] = [ConnectionFailed("away"), 42]

    async def ask() -> int:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    poll = Poll(ask, every=0.01)
    seen: list[int] = []
    errors: list[Exception] = []
    stop = poll.watch(seen.append, errors.append)
    await wait_for(lambda: seen[:1] == [42])
    assert [str(error) for error in errors] == ["away"]
    stop()


# Tasks


def event(kind: str, task_id: str, at: str = "2099-01-01T00:00:00Z") -> dict[str, Any]:
    return {"kind": kind, "task_id": task_id, "type": "quick", "queue": "quick_tasks", "at": at}


def listed(*ids: str) -> list[dict[str, Any]]:
    return [{"task_id": name, "status": "PENDING", "created_at": "2026"} for name in ids]


def test_a_list_follows_what_happens_to_its_tasks() -> None:
    tasks = TaskList(10)
    tasks.replace(listed("a"))
    tasks.apply(event("started", "a", "t1"))
    tasks.apply(event("succeeded", "a", "t2"))
    [task] = tasks
    assert (task["status"], task["started_at"], task["finished_at"]) == ("SUCCESS", "t1", "t2")


def test_new_tasks_stand_on_top_until_the_api_lists_them() -> None:
    tasks = TaskList(3)
    tasks.replace(listed("b", "a"))
    for name in ("c", "d"):
        tasks.arrive(event("queued", name))
    assert tasks.let_in()
    assert [task["task_id"] for task in tasks] == ["d", "c", "b"]
    tasks.replace([{**task, "task_name": "Named"} for task in listed("c", "b", "a")])
    assert [task["task_id"] for task in tasks] == ["d", "c", "b"], "d is too young to be listed"
    assert [task.get("task_name") for task in tasks] == [None, "Named", "Named"]


def test_a_task_that_ended_before_it_was_let_in_is_shown_ended() -> None:
    tasks = TaskList(3)
    tasks.arrive(event("queued", "a"))
    for kind in ("started", "succeeded"):
        tasks.apply(event(kind, "a"))
    tasks.let_in()
    assert [task["status"] for task in tasks] == ["SUCCESS"]


def test_what_was_not_listed_in_time_does_not_belong_there() -> None:
    tasks = TaskList(3)
    tasks.arrive(event("queued", "c", "2026-01-01T00:00:00Z"))
    tasks.let_in()
    tasks.replace(listed("a"))
    assert [task["task_id"] for task in tasks] == ["a"]


@pytest.mark.parametrize(
    ("where", "fits"),
    [
        ({}, True),
        ({"type": "quick", "status": "PENDING", "since": "1h"}, True),
        ({"type": "long"}, False),
        ({"status": "FAILURE"}, False),
        ({"text": "report"}, False),
    ],
)
def test_a_new_task_is_shown_at_once_where_it_surely_belongs(
    where: dict[str, str], fits: bool
) -> None:
    assert surely_fits(event("queued", "x"), where) is fits


def test_the_timeline_shows_the_wait_and_each_attempt_with_its_steps() -> None:
    at = "2026-11-25T10:00:0{}Z".format
    step = {
        "index": 0,
        "handler": "fetch",
        "status": "failed",
        "started_at": at(2),
        "finished_at": at(3),
    }
    task = {
        "created_at": at(0),
        "attempts": [
            {
                "attempt": 1,
                "outcome": "retrying",
                "started_at": at(1),
                "finished_at": at(4),
                "steps": [step],
            },
            {"attempt": 2, "outcome": "running", "started_at": at(5), "steps": []},
        ],
    }
    lanes = lanes_of(task, Texts("en"))
    assert [(lane["kind"], lane["from"], lane["to"]) for lane in lanes] == [
        ("queue", at(0), at(1)),
        ("attempt", at(1), at(4)),
        ("step", at(2), at(3)),
        ("attempt", at(5), None),
    ]


# Tables


class Recorded(DataTable):
    """A table without a page: what would be sent is kept."""

    def __init__(self) -> None:
        self.rows = []
        self.sent: list[tuple[str, Any]] = []
        self._props = {"loading": False}  # type: ignore[assignment]

    def run_method(self, name: str, *args: Any, **_: Any) -> Any:
        self.sent.append((name, *args))


def test_only_cells_that_differ_are_sent() -> None:
    table = Recorded()
    table.set_rows([{"id": "a", "n": 1, "m": 1}, {"id": "b", "n": 1}])
    table.set_rows([{"id": "a", "n": 2, "m": 1}, {"id": "b", "n": 1}])
    table.set_rows([{"id": "a", "n": 2, "m": 1}, {"id": "b", "n": 1}])
    table.patch({"b": {"n": 7}, "unknown": {"n": 0}})
    assert table.sent[1:] == [("patch", [{"id": "a", "n": 2}]), ("patch", [{"id": "b", "n": 7}])]
    table.set_rows([{"id": "b", "n": 7}, {"id": "a", "n": 2, "m": 1}])
    assert table.sent[-1] == ("arrange", ["b", "a"], [])
    table.set_rows([{"id": "c", "n": 0}, {"id": "b", "n": 8}])
    assert table.sent[-1] == ("arrange", ["c", "b"], [{"id": "c", "n": 0}, {"id": "b", "n": 8}])
