"""Several chains as one task: each item goes through its own chain, and a bad one fails alone.

An item that could not be finished yet (its webhook answers 503, say) keeps what its steps have
made and waits, while the others go on; the task then comes back for it alone, as often as the
step's policy allows. After that the item has failed, and nothing else has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from stepline.authoring import (
    JSON,
    Context,
    Failure,
    Finished,
    RetryPolicy,
    handler,
    task_type,
)
from stepline.contract import ChainBatchRequest, ChainHandler
from stepline.errors import Reject, Retry, SteplineError

from handlers.chain import HANDLERS, assemble, sequence

DEFAULT_POLICY = RetryPolicy()
POLICIES = {name.value: step.retry or DEFAULT_POLICY for name, step in HANDLERS.items()}
RETRY = RetryPolicy(
    # An item waits at most one time less than its step's policy has attempts.
    attempts=max(policy.attempts for policy in POLICIES.values()),
    base=2.0,
    cap=120.0,
)

SMALL = 250_000
"""Bytes of results up to which every item is kept as soon as it is done."""
GROWTH = 0.1
"""Beyond that, results are kept when they have grown by so much: writing all of them after each of
a thousand items would take far longer than the items. What an interruption undoes is done again,
under the same ids."""


@dataclass(slots=True)
class Opened:
    """An item that has begun: what its steps have made so far, and what the current one saved."""

    outputs: list[list[Any]] = field(default_factory=list)
    """[handler, output] each; the current step is the next one."""
    tries: int = 0
    seconds: float = 0.0
    saved: JSON = None

    def dump(self) -> dict[str, Any]:
        """A copy in JSON types; the outputs themselves never change."""
        return {
            "outputs": list(self.outputs),
            "tries": self.tries,
            "seconds": self.seconds,
            "saved": self.saved,
        }


class ItemContext:
    """The task's context as one item's handler sees it: outputs, saved state and idempotency key
    are the item's own; everything else is the task's."""

    def __init__(self, run: BatchRun, position: int, opened: Opened) -> None:
        self._run = run
        self._opened = opened
        self._position = position

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run.ctx, name)

    @property
    def outputs(self) -> dict[str, JSON]:
        """By handler name, in order; of a name that comes twice, the later."""
        found: dict[str, JSON] = {}
        for name, output in self._opened.outputs:
            found.pop(name, None)
            found[name] = output
        return found

    @property
    def idempotency_key(self) -> str:
        place = len(self._opened.outputs)
        return f"{self._run.ctx.idempotency_key}:{self._position}:{place}"

    @property
    def saved(self) -> JSON:
        return self._opened.saved

    async def save(self, state: JSON) -> None:
        self._opened.saved = state
        await self._run.keep()

    async def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> None:
        """The bar is the batch's: what happens within one item does not move it."""


class BatchRun:
    """One attempt at a batch, from what the earlier ones have kept."""

    def __init__(self, ctx: Context, batch: ChainBatchRequest) -> None:
        self.ctx = ctx
        self._batch = batch
        self._names = sequence(batch.chain_type, batch.handler_sequence)
        total = len(batch.batch_requests)
        saved = ctx.saved or {"results": [None] * total, "opened": {}}
        self.results: list[dict[str, Any] | None] = list(saved["results"])
        self._opened = {
            int(position): Opened(**opened) for position, opened in saved["opened"].items()
        }
        self._size = len(orjson.dumps(self.results))
        self._unkept = 0
        self._deferred: list[Failure] = []

    async def work(self) -> list[Any]:
        """Every item's result. Raises `Retry` while some may still be finished."""
        total = len(self.results)
        for position in [place for place, result in enumerate(self.results) if result is None]:
            result = await self._item(position)
            if result is not None:
                self.results[position] = result
                del self._opened[position]
                done = sum(1 for entry in self.results if entry is not None)
                await self.ctx.progress(done, total, f"{done} of {total} requests")
                await self.keep(len(orjson.dumps(result)))
            await asyncio.sleep(0)  # items that wait for nothing shall not hold the loop
        if self._deferred:
            first = self._deferred[0]
            raise Retry(
                f"{len(self._deferred)} of {total} requests are not finished yet: {first.message}",
                code=first.code,
            )
        return self.results

    async def keep(self, grown: int = 0, *, surely: bool = False) -> None:
        """Save, where it is worth it; `grown` bytes of results have been added."""
        self._size += grown
        self._unkept += grown
        if surely or self._size <= SMALL or self._unkept >= self._size * GROWTH:
            self._unkept = 0
            opened = {str(position): item.dump() for position, item in self._opened.items()}
            await self.ctx.save({"results": list(self.results), "opened": opened})

    async def _item(self, position: int) -> dict[str, Any] | None:
        """One item through the rest of its chain: its report, or None where it has to wait."""
        opened = self._opened.setdefault(position, Opened())
        item = self._batch.batch_requests[position]
        ctx = ItemContext(self, position, opened)
        failure: Failure | None = None
        began = time.monotonic()
        while failure is None and len(opened.outputs) < len(self._names):
            name = self._names[len(opened.outputs)]
            output = None
            try:
                output = await HANDLERS[ChainHandler(name)].run(ctx, item)
            except Reject as reject:
                failure, output = Failure(reject.code, reject.message, name), reject.output
            except Exception as error:  # the neighbours shall not suffer from this item
                failure = _failure(error, name)
                opened.tries += 1
                await ctx.log(f"request {position}: {failure.message}", handler=name)
                if opened.tries < POLICIES[name].attempts:
                    opened.seconds += time.monotonic() - began
                    self._deferred.append(failure)
                    await self.keep(surely=True)
                    return None
                output = error.output if isinstance(error, Retry) else None
            if output is not None:
                opened.outputs.append([name, output])
            opened.saved = None
        opened.seconds += time.monotonic() - began
        result = assemble(
            item.model_dump(mode="json", exclude_unset=True),
            chain_type=self._batch.chain_type,
            handlers=self._names,
            outputs=[(name, output) for name, output in opened.outputs],
            duration=opened.seconds,
            failure=failure,
        )
        return {"batch_index": position, **result}


def _failure(error: Exception, name: str) -> Failure:
    if isinstance(error, SteplineError):
        return Failure(error.code, error.message, name)
    return Failure("handler_error", f"{type(error).__name__}: {error}", name)


@handler(retry=RETRY)
async def chain_batch(ctx: Context, batch: ChainBatchRequest) -> list[Any]:
    """Run every item's chain. What is done is kept, so that an interrupted batch goes on from
    there. Raises `Retry` for items that could not be finished yet, once all others are."""
    return await BatchRun(ctx, batch).work()


def finish(finished: Finished) -> dict[str, Any] | None:
    """The batch's result: every item's report, and their sums."""
    if not finished.outputs:
        return None
    results: list[Mapping[str, Any]] = finished.outputs[-1][1]
    good = sum(1 for result in results if result["success"])
    durations = [result["processing_duration"] for result in results]
    return {
        "total_requests": len(results),
        "successful_requests": good,
        "failed_requests": len(results) - good,
        "chain_type": finished.payload.get("chain_type", "standard"),
        "results": results,
        "processing_summary": {
            "total_errors": sum(len(result["errors"]) for result in results),
            "total_warnings": sum(len(result["warnings"]) for result in results),
            "average_processing_duration": round(sum(durations) / len(durations), 6),
        },
        "task_info": {"task_id": finished.task_id, "worker": finished.worker},
    }


CHAIN_BATCH = task_type(
    "chain_batch",
    payload=ChainBatchRequest,
    handlers=[chain_batch],
    queue="chain_tasks",
    timeout=3600.0,
    finish=finish,
    description="Several chains as one task.",
)
