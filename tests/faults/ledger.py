"""The client's side: every submission and each of its answers, and a load that goes on through
outages as a careful client does, with one Idempotency-Key a submission."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import httpx2

from tests.waiting import PATIENCE

Answer = Literal["accepted", "refused", "ambiguous"]

SURELY_NOT = {"broker_unavailable", "unroutable"}
"""Codes of a 503 that says: nothing was published."""

TIMEOUT = 12.0
PAUSE = 0.2


@dataclass(slots=True)
class Try:
    """One request, and what was answered: with a task id if it was a 202."""

    sent: float
    answered: float
    answer: Answer
    detail: str
    task_id: str | None = None

    @property
    def seconds(self) -> float:
        return self.answered - self.sent


@dataclass(slots=True)
class Submission:
    """What a client wanted done: number, key, and every try at it."""

    n: int
    key: str | None
    tries: list[Try] = field(default_factory=list)

    @property
    def task_ids(self) -> set[str]:
        """Of its 202s. More than one would be a broken promise."""
        return {item.task_id for item in self.tries if item.task_id is not None}

    @property
    def ambiguous(self) -> bool:
        return any(item.answer == "ambiguous" for item in self.tries)


class Ledger:
    """All submissions of one test, to one API."""

    def __init__(self, url: str) -> None:
        self.submissions: list[Submission] = []
        self._http = httpx2.AsyncClient(base_url=url, timeout=TIMEOUT)

    async def close(self) -> None:
        await self._http.aclose()

    @property
    def accepted(self) -> dict[str, Submission]:
        return {task_id: item for item in self.submissions for task_id in item.task_ids}

    @property
    def tries(self) -> list[Try]:
        return [item for submission in self.submissions for item in submission.tries]

    def begin(self, *, keyed: bool = True) -> Submission:
        submission = Submission(len(self.submissions), uuid4().hex if keyed else None)
        self.submissions.append(submission)
        return submission

    async def send(self, submission: Submission, **work: Any) -> Try:
        """One request. Whatever comes of it is an answer, written down."""
        headers = {"Idempotency-Key": submission.key} if submission.key else {}
        body = {"n": submission.n, **work}
        sent = time.monotonic()
        task_id = None
        try:
            response = await self._http.post("/faults", json=body, headers=headers)
        except httpx2.ConnectError as error:
            answer, detail = _ref("refused"), repr(error)
        except httpx2.TransportError as error:
            answer, detail = _ref("ambiguous"), repr(error)
        else:
            answer, detail = _read(response)
            if answer == "accepted":
                task_id = response.json()["task_id"]
        made = Try(sent, time.monotonic(), answer, detail, task_id)
        submission.tries.append(made)
        return made

    async def insist(self, submission: Submission, *, until: float, **work: Any) -> bool:
        """Try with the same key until it is accepted, or the clock says `until` (monotonic)."""
        while True:
            made = await self.send(submission, **work)
            if made.answer == "accepted":
                return True
            if time.monotonic() > until:
                return False
            await asyncio.sleep(PAUSE)

    async def accept(self, *, patience: float = PATIENCE, **work: Any) -> str:
        """Submit one task, and have it accepted. Returns its id."""
        submission = self.begin()
        taken = await self.insist(submission, until=time.monotonic() + patience, **work)
        assert taken, f"not accepted within {patience:g} s: {submission.tries[-1]}"
        (task_id,) = submission.task_ids
        return task_id

    @asynccontextmanager
    async def load(
        self,
        *,
        clients: int = 4,
        pause: float = 0.02,
        patience: float = PATIENCE,
        keyed: bool = True,
        **work: Any,
    ) -> AsyncIterator[None]:
        """So many clients submit one task after the other. At the end each brings its last
        submission through."""
        stop = asyncio.Event()

        async def submit() -> None:
            while not stop.is_set():
                submission = self.begin(keyed=keyed)
                await self.insist(submission, until=time.monotonic() + patience, **work)
                await asyncio.sleep(pause)

        running = [asyncio.create_task(submit()) for _ in range(clients)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*running)


def _ref(answer: Answer) -> Answer:
    return answer


def _read(response: httpx2.Response) -> tuple[Answer, str]:
    if response.status_code in (200, 202):
        return "accepted", str(response.status_code)
    code = str(response.status_code)
    if "problem+json" in response.headers.get("content-type", ""):
        code = response.json()["type"].rpartition("/")[2]
    if response.status_code == 503 and code in SURELY_NOT:
        return "refused", code
    if response.status_code in (503, 409):
        return "ambiguous", code
    raise AssertionError(f"an answer that no fault may cause: {response.status_code} {code}")
