"""The tasks of one message, a phase at a time for all of them: claim, run, end.

Tasks that travel together are short, and mostly of one step. Each phase is so one call to Redis,
one message to history, and no task of the event loop for any of them. Handlers that wait for
something outside (which shows at the first message of their type) run side by side, and what ends
in one moment is written together. What does not fit goes on beside, as a task by itself does: a
chain of several steps, a claim with a story, a failure, and whatever would have to wait for a
neighbour that takes long after all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from infra.envelope import Envelope, TaskMessage
from infra.log_context import LogContext, log_context
from infra.state.models import Claim, Yours
from workers.holding import Running
from workers.journal import LostLease
from workers.outcome import Attempt
from workers.task_runner import TaskRunner

SPILL_AFTER = 0.05
"""Seconds after which nobody waits for a neighbour any more."""

TURN = 0.005
"""Seconds of handlers in a row, before others have the event loop."""

log = structlog.get_logger(__name__)

Member = tuple[Running, Attempt]


class Chunk:
    """Works one message's tasks off, once."""

    def __init__(
        self,
        runner: TaskRunner,
        envelope: Envelope,
        *,
        on_turn_over: Callable[[], None],
        on_end: Callable[[], None],
        waiting_types: set[str],
    ) -> None:
        """`on_turn_over` is called for each task that has run, or does not wait for its turn any
        more; `on_end` for each that is in hand here no longer. `waiting_types` are those whose
        handlers were found waiting; what this chunk finds is noted there."""
        self._runner = runner
        self._envelope = envelope
        self._on_turn_over = on_turn_over
        self._on_end = on_end
        self._waiting_types = waiting_types
        self._held: dict[str, Running] = {}
        """In hand because of this chunk, and not let go."""
        self._ready: deque[Member] = deque()
        self._current: Member | None = None
        self._abreast: dict[str, Member] = {}
        """Whose handlers run side by side, by id."""
        self._done: list[Member] = []
        """Whose handlers have run to their end, which is not written yet."""
        self._ending = False
        self._beside: dict[asyncio.Task[None], bool] = {}
        """What goes on beside, each with whether it is stopped when the worker stops."""
        self._rest: list[TaskMessage] = []
        self._errors: list[Exception] = []

    async def work(self) -> list[TaskMessage]:
        """All tasks to their end, or onward; returns those that are handed over. Raises what broke
        one of them, after the others have ended."""
        spill: asyncio.TimerHandle | None = None
        try:
            await self._claim()
            spill = asyncio.get_running_loop().call_later(SPILL_AFTER, self._spill)
            await self._perform()
            self._go_beside(self._end_done(), stops=False)
            await self._join()
        except asyncio.CancelledError:
            await self._hand_over()
            raise
        finally:
            if spill is not None:
                spill.cancel()
            for running in list(self._held.values()):  # it broke: the broker gives them again
                await self._let_go(running, handed_over=True)
        if self._errors:
            raise self._errors[0]
        return self._rest

    async def _claim(self) -> None:
        holding = self._runner.holding
        fresh: list[Running] = []
        for task in self._envelope.tasks:
            if (other := holding.tasks.get(task.id)) is not None:
                self._go_beside(self._await(other))
            else:
                running = self._held[task.id] = self._runner.hold(self._envelope, task)
                fresh.append(running)
        tasks = [running.task for running in fresh]
        claims = await self._runner.claim_all(tasks)
        for running, claim in zip(fresh, claims, strict=True):
            if not isinstance(claim, Yours) or not _is_simple(running.task, claim):
                self._go_beside(self._advance(running, claim))
                continue
            member = running, self._runner.begin(claim, running)
            if running.task.type in self._waiting_types:
                self._abreast[running.task.id] = member
                self._go_beside(self._perform_abreast(member))
            else:
                member[1].journal.hold_back()
                self._ready.append(member)
        for _ in range(len(self._envelope.tasks) - len(self._ready)):
            self._on_turn_over()
        if self._abreast:
            # it is called when each of them has come to its first wait, or to its end
            asyncio.get_running_loop().call_soon(self._look_who_waits, self._types_abreast())

    def _types_abreast(self) -> set[str]:
        return {running.task.type for running, _ in self._abreast.values()}

    def _look_who_waits(self, types: set[str]) -> None:
        self._waiting_types -= types - self._types_abreast()

    async def _perform(self) -> None:
        """The handlers of each, one after the other."""
        clock = asyncio.get_running_loop().time
        turn_over = clock() + TURN
        while self._ready:
            self._current = member = self._ready.popleft()
            await self._perform_one(member)
            self._current = None
            self._on_turn_over()
            if clock() >= turn_over:
                await asyncio.sleep(0)
                turn_over = clock() + TURN

    async def _perform_abreast(self, member: Member) -> None:
        try:
            await self._perform_one(member)
        except asyncio.CancelledError:
            await self._give_up(member)
            raise
        finally:
            del self._abreast[member[0].task.id]
        if self._done and not self._ending:  # with those that end in this turn of the loop
            self._ending = True
            self._go_beside(self._end_done(), stops=False)

    async def _perform_one(self, member: Member) -> None:
        running, attempt = member
        context = log_context.set(LogContext(attempt.task.id, attempt.claim.attempt))
        try:
            await self._runner.perform(running)
        except LostLease:
            log.info("lease_lost")
            self._go_beside(self._forget(member))
        except Exception as error:
            self._errors.append(error)
            self._go_beside(self._forget(member, handed_over=True))
        else:
            if attempt.end.failure is None and running.cancelled is None:
                self._done.append(member)
            else:
                self._go_beside(self._carry(member, performed=True))
        finally:
            log_context.reset(context)

    def _spill(self) -> None:
        """It takes long: what has not begun, and what is done, wait for it no longer."""
        if self._current is not None:
            running, attempt = self._current
            attempt.journal.let_out()
            self._waiting_types.add(running.task.type)
        while self._ready:
            running, attempt = self._ready.popleft()
            attempt.journal.let_out()
            self._go_beside(self._carry((running, attempt)))
            self._on_turn_over()
        self._go_beside(self._end_done(), stops=False)

    async def _end_done(self) -> None:
        done, self._done, self._ending = self._done, [], False
        if not done:
            return
        await self._runner.conclusion.succeed([attempt for _, attempt in done])
        for member in done:
            await self._forget(member)

    async def _carry(self, member: Member, *, performed: bool = False) -> None:
        running, attempt = member
        handed_over = True
        try:
            handed_over = await self._runner.carry(attempt, running, performed=performed)
        finally:
            await self._let_go(running, handed_over=handed_over)

    async def _advance(self, running: Running, claim: Claim) -> None:
        handed_over = True
        try:
            handed_over = await self._runner.advance(running, claim)
        finally:
            await self._let_go(running, handed_over=handed_over)

    async def _await(self, other: Running) -> None:
        """It is in hand already, by another delivery."""
        await other.ended.wait()
        if other.handed_over:
            self._rest.append(other.task)

    async def _forget(self, member: Member, *, handed_over: bool = False) -> None:
        running, attempt = member
        await attempt.journal.close()
        await self._let_go(running, handed_over=handed_over)

    async def _let_go(self, running: Running, *, handed_over: bool) -> None:
        if self._held.pop(running.task.id, None) is None:
            return
        if handed_over:
            self._rest.append(running.task)
        self._on_end()
        await self._runner.let_go(running, handed_over=handed_over)

    def _go_beside(self, work: Coroutine[Any, Any, None], *, stops: bool = True) -> None:
        task = asyncio.create_task(work)
        self._beside[task] = stops
        task.add_done_callback(self._over)

    async def _join(self) -> None:
        while self._beside:
            await asyncio.wait(self._beside)

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._beside[task]
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._errors.append(error)

    async def _hand_over(self) -> None:
        """The worker stops: what is done ends; what has not got so far is left to others."""
        for task, stops in self._beside.items():
            if stops:
                task.cancel()
        begun = [*self._ready, *([self._current] if self._current else [])]
        self._ready.clear()
        for member in begun:
            await self._give_up(member)
        await self._end_done()
        await self._join()
        for member in list(self._abreast.values()):  # stopped before it had begun
            await self._give_up(member)

    async def _give_up(self, member: Member) -> None:
        await self._runner.hand_over(member[1])
        await self._forget(member, handed_over=True)


def _is_simple(task: TaskMessage, claim: Yours) -> bool:
    """Its first attempt, of one step, with nothing to take over."""
    first = claim.attempt == 1 and not claim.taken_over and task.retry_of is None
    return first and len(task.handlers) == 1
