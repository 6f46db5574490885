"""A worker under test: the product's own, with the `fault` type, and places where it may crash."""

from __future__ import annotations

import sys
from typing import Any

from stepline.errors import SteplineError

from infra.broker.rabbit import RabbitBroker
from infra.broker.rabbit_consumer import RabbitDelivery
from infra.broker.topology import HISTORY_QUEUE
from infra.history.repository import SQLHistory
from infra.leaving import leave
from infra.settings import load_settings
from infra.state.models import Yours
from infra.state.store import State
from tests.faults.census import count_on_signal
from tests.faults.crash import CrashPoints
from tests.faults.journal import Lines
from tests.faults.kinds import fault_registry, folder
from workers.processes import serve
from workers.processor import Processor

POINTS = (
    "before_claim",
    "after_claim",
    "before_checkpoint",
    "after_checkpoint",
    "before_end",
    "after_end",
    "after_outcome",
    "after_ack",
    "before_record",
    "after_record",
)
"""In the order in which a task of several steps comes by them. The last two are the recorder's:
before its commit, and between the commit and the ack."""

ENDED = b'"status":"SUCCESS"'


def taken(*_: Any, answer: Any, **__: Any) -> bool:
    return answer is None or isinstance(answer, Yours)


def some_taken(*_: Any, answer: Any, **__: Any) -> bool:
    return answer is None or any(isinstance(claim, Yours) for claim in answer)


def with_steps(*_: Any, steps: Any = None, **__: Any) -> bool:
    return bool(steps)


def outcome(_broker: Any, queue: str, message: Any, **_: Any) -> bool:
    return queue == HISTORY_QUEUE and ENDED in message.body


def of_a_task(delivery: Any, **_: Any) -> bool:
    return bool(delivery.message.kind == "envelope" and delivery.queue != HISTORY_QUEUE)


def with_an_end(_history: SQLHistory, records: Any, **_: Any) -> bool:
    return any(record.status.ended for record in records)


def install(points: CrashPoints, lines: Lines) -> None:
    def claimed(_state: State, _queue: str, task: Any, *, answer: Any, **_: Any) -> None:
        if isinstance(answer, Yours):
            lines.write("claim", task=task.id, attempt=answer.attempt)

    def all_claimed(state: State, tasks: Any, *_: Any, answer: Any) -> None:
        for task, claim in zip(tasks, answer, strict=True):
            claimed(state, "", task, answer=claim)

    def delivered(_processor: Processor, delivery: Any, **_: Any) -> None:
        if delivery.message.kind == "envelope":
            lines.write("delivery", task=delivery.message.correlation_id, queue=delivery.queue)

    claim = {"before": "before_claim", "after": "after_claim"}
    points.around(State, "claim", **claim, where=taken, seen=claimed)
    points.around(State, "claim_all", **claim, where=some_taken, seen=all_claimed)
    checkpoint = {"before": "before_checkpoint", "after": "after_checkpoint"}
    points.around(State, "write", **checkpoint, where=with_steps)
    end = {"before": "before_end", "after": "after_end"}
    points.around(State, "settle", **end)
    points.around(State, "settle_all", **end)
    points.around(RabbitBroker, "send", after="after_outcome", where=outcome)
    points.around(RabbitDelivery, "ack", after="after_ack", where=of_a_task)
    points.around(Processor, "process", seen=delivered)
    recording = {"before": "before_record", "after": "after_record"}
    points.around(SQLHistory, "record", **recording, where=with_an_end)


def main() -> int:
    lines = Lines(folder())
    install(CrashPoints(folder()), lines)
    count_on_signal(folder())
    try:
        return serve(load_settings(), fault_registry(lines))
    except SteplineError as error:
        print(f"worker under test: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    leave(main())
