"""The task type of the fault tests: steps that write down when they begin and end, and fail, wait
or die as their payload says."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel
from stepline.authoring import Context, Finished, Handler, RetryPolicy, handler, task_type

from handlers.builtin import builtin_registry
from handlers.registry import Registry
from tests.faults.journal import Lines

MOST_STEPS = 3
LOOK_EVERY = 0.01
QUICKLY = RetryPolicy(attempts=3, base=0.05, cap=0.2)

SHORT = "fault_short"
"""Tasks of this type that are submitted at the same time travel in one message."""

FOLDER = "FAULTS_FOLDER"
"""Environment: where the processes under test write what they do, and look for crashes to come."""


class Work(BaseModel):
    """What a test asks for."""

    n: int
    """Numbers the submissions of one test."""
    steps: int = MOST_STEPS
    seconds: float = 0.0
    """How long each step takes."""
    hold: str | None = None
    """A file that the second step waits for."""
    short: bool = False
    """Travel with the others of that moment."""
    poison: Literal["raises", "kills"] | None = None
    """What the last step does instead of ending."""


def folder() -> Path:
    return Path(os.environ[FOLDER])


def _step(lines: Lines, index: int) -> Handler:
    async def run(ctx: Context, payload: Work) -> Mapping[str, Any]:
        nonce = uuid4().hex[:8]
        where = {"task": ctx.task_id, "step": index, "attempt": ctx.attempt, "nonce": nonce}
        lines.write("begin", **where)
        await _work(payload, index)
        lines.write("end", **where)
        return {"step": index, "attempt": ctx.attempt, "nonce": nonce}

    return handler(name=f"fault_{index}")(run)


async def _work(payload: Work, index: int) -> None:
    if payload.seconds:
        await asyncio.sleep(payload.seconds)
    if payload.hold and index == 1:
        while not Path(payload.hold).exists():
            await asyncio.sleep(LOOK_EVERY)
    if index == payload.steps - 1:
        if payload.poison == "raises":
            raise RuntimeError("poison")
        if payload.poison == "kills":
            os.kill(os.getpid(), signal.SIGKILL)


def _outputs(finished: Finished) -> list[Any]:
    return [output for _, output in finished.outputs]


def _plan(work: Work) -> list[str]:
    return [f"fault_{index}" for index in range(work.steps)]


def fault_registry(lines: Lines) -> Registry:
    """The built-in types, `fault`, and the same as a short one."""
    registry = builtin_registry()
    handlers = [_step(lines, index) for index in range(MOST_STEPS)]
    for name, short in (("fault", False), (SHORT, True)):
        registry.add(
            task_type(
                name,
                payload=Work,
                handlers=handlers,
                plan=_plan,
                queue="chain_tasks",
                retry=QUICKLY,
                finish=_outputs,
                short=short,
            )
        )
    return registry
