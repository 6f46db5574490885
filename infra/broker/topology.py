"""The names of exchanges and queues, as data. Both brokers build exactly this."""

from __future__ import annotations

from dataclasses import dataclass

TASKS_EXCHANGE = "stepline.tasks"
EVENTS_EXCHANGE = "stepline.events"
HISTORY_QUEUE = "history"
DEAD_LETTERS_QUEUE = "dead_letters"
SCHEDULED_KEY = "scheduled"
DELIVERY_LIMIT = 20

WORK_QUEUES = ("quick_tasks", "long_tasks", "email_tasks", "chain_tasks")


@dataclass(frozen=True, slots=True)
class Rung:
    """One level of the delay ladder: messages rest `seconds`, then go to the queue that their
    routing key names."""

    seconds: float

    @property
    def name(self) -> str:
        return f"stepline.delay.{int(self.seconds * 1000)}ms"


LADDER = tuple(Rung(0.25 * 2**level) for level in range(18))
"""From 0.25 s to some nine hours."""


def rung_for(delay: float) -> Rung:
    """The longest rung within `delay` seconds; the lowest for anything shorter."""
    chosen = LADDER[0]
    for rung in LADDER:
        if rung.seconds <= delay:
            chosen = rung
    return chosen


@dataclass(frozen=True, slots=True)
class Topology:
    """What a deployment has: the work queues may be more than the built-in ones."""

    work_queues: tuple[str, ...] = WORK_QUEUES

    @property
    def queues(self) -> tuple[str, ...]:
        """All that can be consumed from."""
        return (*self.work_queues, HISTORY_QUEUE, DEAD_LETTERS_QUEUE)


DEFAULT_TOPOLOGY = Topology()
