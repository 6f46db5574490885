"""The data chain: which handlers a request runs, and the result that their reports add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepline.authoring import Failure, Finished, Handler, task_type
from stepline.contract import ChainHandler, ChainRequest, ChainType

from handlers.enrichment import enrichment
from handlers.export import export
from handlers.notification import notification
from handlers.transformation import transformation
from handlers.validation import validation

HANDLERS: dict[ChainHandler, Handler] = {
    ChainHandler.VALIDATION: validation,
    ChainHandler.TRANSFORMATION: transformation,
    ChainHandler.ENRICHMENT: enrichment,
    ChainHandler.EXPORT: export,
    ChainHandler.NOTIFICATION: notification,
}

CHAINS: dict[ChainType, tuple[ChainHandler, ...]] = {
    ChainType.VALIDATION_ONLY: (ChainHandler.VALIDATION,),
    ChainType.TRANSFORM_EXPORT: (ChainHandler.TRANSFORMATION, ChainHandler.EXPORT),
    ChainType.ENRICH_NOTIFY: (ChainHandler.ENRICHMENT, ChainHandler.NOTIFICATION),
    ChainType.STANDARD: tuple(ChainHandler),
}

RESULT_KEYS = {
    "transformation": ("transformed_payload", "payload"),
    "enrichment": ("enriched_payload", "payload"),
    "export": ("export_result", "result"),
    "notification": ("notification_result", "result"),
}
"""Where in `processed_data` a handler's work shows, and which part of its report that is."""


def sequence(
    chain_type: ChainType, handler_sequence: Sequence[ChainHandler] | None
) -> tuple[str, ...]:
    """The names of the handlers, in order."""
    chosen = handler_sequence if chain_type.by_sequence else CHAINS[chain_type]
    return tuple(item.value for item in chosen or ())


def plan(request: ChainRequest) -> tuple[str, ...]:
    return sequence(request.chain_type, request.handler_sequence)


def assemble(
    item: Mapping[str, Any],
    *,
    chain_type: str,
    handlers: Sequence[str],
    outputs: Sequence[tuple[str, Any]],
    duration: float,
    failure: Failure | None,
) -> dict[str, Any]:
    """The report on one chain over one item, from what its handlers returned."""
    processed: dict[str, Any] = {}
    log: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    warnings: list[str] = []
    for handler, report in outputs:
        log.append(
            {
                "handler": handler,
                "message": report["message"],
                "status": report["status"],
                "timestamp": report["at"],
            }
        )
        errors += [{"handler": handler, **error} for error in report.get("errors", ())]
        warnings += report.get("warnings", ())
        key, part = RESULT_KEYS.get(handler, (None, "result"))
        if key is not None and part in report:
            processed[key] = report[part]
    if failure is not None and not errors:
        errors.append({"handler": failure.handler, "error": failure.message})
    return {
        "success": failure is None,
        "request_type": item["request_type"],
        "chain_type": chain_type,
        "original_data": item["data"],
        "metadata": item.get("metadata", {}),
        "processed_data": processed,
        "processing_log": log,
        "errors": errors,
        "warnings": warnings,
        "total_handlers": len(handlers),
        "processing_duration": round(duration, 6),
    }


def finish(finished: Finished) -> dict[str, Any]:
    """The result of a `chain` task, also of one that failed."""
    chain_type = finished.payload.get("chain_type", ChainType.STANDARD)
    result = assemble(
        finished.payload,
        chain_type=chain_type,
        handlers=finished.handlers,
        outputs=finished.outputs,
        duration=finished.duration,
        failure=finished.failure,
    )
    result["task_info"] = {
        "task_id": finished.task_id,
        "chain_type": chain_type,
        "worker": finished.worker,
    }
    if chain_type in (ChainType.DYNAMIC, ChainType.CUSTOM):
        result["dynamic_chain_info"] = {
            "handler_sequence": list(finished.handlers),
            "handlers_used": [handler for handler, _ in finished.outputs],
            "task_id": finished.task_id,
        }
    return result


CHAIN = task_type(
    "chain",
    payload=ChainRequest,
    handlers=list(HANDLERS.values()),
    plan=plan,
    queue="chain_tasks",
    finish=finish,
    description="A chain of data handlers over one request.",
)
