"""When Redis has forgotten, or an end was not told: what history knows, and what it must hear."""

from __future__ import annotations

from dataclasses import replace

from stepline.contract import Status

from infra.checkpoints import find_checkpoints
from infra.envelope import Envelope, TaskMessage
from infra.history.base import TaskRecord
from infra.records import record_from_state
from infra.state.models import Yours
from workers.engine import Engine
from workers.patience import while_away

LOOK_AGAIN_AFTER = 1.0


async def attempts_so_far(engine: Engine, task: TaskMessage) -> int | None:
    """Redis knows nothing of the task: its attempts so far, by all that history and the message
    say; None if it has ended, or if its holder lives and will put it back (the message then comes
    again)."""
    known = await while_away(lambda: engine.history.get(task.id))
    if known is None:
        return task.attempt
    if known.status.ended:
        return None
    if await _is_held(engine, known):
        again = Envelope(known.queue, (task,)).message()
        await engine.send(known.queue, again, LOOK_AGAIN_AFTER)
        return None
    return max(task.attempt, known.attempt)


async def _is_held(engine: Engine, known: TaskRecord) -> bool:
    """History names who ran it last. Does that process live, and say that it still has it?"""
    if known.status is not Status.RUNNING or known.worker in (None, engine.worker):
        return False
    workers = await while_away(engine.workers.all)
    holder = next((worker for worker in workers if worker.id == known.worker), None)
    if holder is None or known.id not in holder.active:
        return False
    return not await while_away(lambda: engine.workers.is_dead(holder.id))


async def is_current(engine: Engine, task_id: str, attempt: int) -> bool:
    """Has nobody come after this attempt, and has the task not ended?"""
    known = await while_away(lambda: engine.history.get(task_id))
    return known is None or not (known.status.ended or known.attempt > attempt)


async def with_inherited(engine: Engine, task: TaskMessage, claim: Yours) -> Yours:
    """A retry begins with the outputs of the task that it was made from. They came with its
    acceptance; Redis may have lost them since."""
    origin, before = task.retry_of, task.from_step
    if origin is None or {index for index, _ in claim.outputs} >= set(range(before)):
        return claim
    found = await while_away(lambda: find_checkpoints(engine.state, engine.history, origin, before))
    return replace(claim, outputs=found | claim.outputs)


async def repair(engine: Engine, task: TaskMessage) -> None:
    """The task has ended, but whoever ended it may have died before history heard of it."""
    state = await while_away(lambda: engine.state.get(task.id))
    if state is None:
        return
    events = await while_away(lambda: engine.state.events(task.id))
    steps = await while_away(lambda: engine.state.steps(task.id))
    outputs = await engine.checkpoints.load_all(steps)
    await engine.record(record_from_state(state, events, outputs, task))
