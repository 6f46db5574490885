"""Several chains as one task: each item goes through its own chain, and a bad one fails alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from stepline.authoring import JSON, Context, Failure, Finished, handler, task_type
from stepline.contract import ChainBatchRequest, ChainHandler, ChainItem
from stepline.errors import Reject, Retry

from handlers.chain import HANDLERS, assemble, sequence


class ItemContext:
    """The task's context as one item's handler sees it: outputs, saved state and idempotency key
    are the item's own; everything else is the task's."""

    def __init__(self, ctx: Context, results: list[dict[str, Any]], inner: JSON) -> None:
        self._ctx = ctx
        self._results = results
        self._inner = inner or {}
        self.outputs: dict[str, JSON] = {}
        self.step = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    @property
    def position(self) -> int:
        return len(self._results)

    @property
    def idempotency_key(self) -> str:
        return f"{self._ctx.idempotency_key}:{self.position}:{self.step}"

    @property
    def saved(self) -> JSON:
        mine = self._inner.get("position") == self.position and self._inner.get("step") == self.step
        return self._inner["state"] if mine else None

    async def save(self, state: JSON) -> None:
        inner = {"position": self.position, "step": self.step, "state": state}
        await self._ctx.save({"results": self._results, "inner": inner})

    async def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> None:
        """The bar is the batch's: what happens within one item does not move it."""


async def run_item(
    ctx: ItemContext, item: ChainItem, names: Sequence[str], chain_type: str
) -> dict[str, Any]:
    """One item through its chain. Only a `Retry` leaves this: any other failure is the item's."""
    began = time.monotonic()
    outputs: list[tuple[str, Any]] = []
    failure: Failure | None = None
    for name in names:
        ctx.step = name
        try:
            output = await HANDLERS[ChainHandler(name)].run(ctx, item)
        except Retry:
            raise
        except Reject as reject:
            failure, output = Failure(reject.code, reject.message, name), reject.output
        except Exception as error:  # the neighbours shall not suffer from this item
            await ctx.log(f"item {ctx.position}: {type(error).__name__}: {error}", handler=name)
            failure, output = (
                Failure("handler_error", f"{type(error).__name__}: {error}", name),
                None,
            )
        if output is not None:
            outputs.append((name, output))
            ctx.outputs.pop(name, None)
            ctx.outputs[name] = output
        if failure is not None:
            break
    result = assemble(
        item.model_dump(mode="json", exclude_unset=True),
        chain_type=chain_type,
        handlers=names,
        outputs=outputs,
        duration=time.monotonic() - began,
        failure=failure,
    )
    return {"batch_index": ctx.position, **result}


@handler
async def chain_batch(ctx: Context, batch: ChainBatchRequest) -> list[dict[str, Any]]:
    """Run every item's chain. After each item the results so far are kept, so that an interrupted
    batch goes on with the next item."""
    names = sequence(batch.chain_type, batch.handler_sequence)
    saved = ctx.saved or {}
    results: list[dict[str, Any]] = list(saved.get("results", ()))
    total = len(batch.batch_requests)
    for item in batch.batch_requests[len(results) :]:
        inner = ItemContext(ctx, results, saved.get("inner"))
        results.append(await run_item(inner, item, names, batch.chain_type))
        await ctx.progress(len(results), total, f"{len(results)} of {total} requests")
        await ctx.save({"results": results, "inner": None})
    return results


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
