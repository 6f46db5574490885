"""What operators have ordered: which queues are paused, which workers take nothing new.

Orders live in Redis and hold until they are taken back, whoever restarts meanwhile. Every worker
looks at them some times a second; each change is told in the feed of all tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stepline.contract import ServiceEventKind

from infra.codec import dumps, loads
from infra.state.answers import pairs, text
from infra.state.scripts import ScriptRunner
from infra.state.store import PREFIX, State

PAUSED = f"{PREFIX}paused"
DRAINING = f"{PREFIX}draining"


@dataclass(frozen=True, slots=True)
class Order:
    """`by` names an API key, or is `anonymous` where none is asked; `at` is RFC 3339."""

    by: str
    at: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """The orders that hold now, by queue and by worker."""

    paused: Mapping[str, Order] = field(default_factory=dict)
    draining: Mapping[str, Order] = field(default_factory=dict)

    def lets_take(self, worker: str, queue: str) -> bool:
        return queue not in self.paused and worker not in self.draining


class Controls:
    """Orders, given and looked up. Methods raise `StateUnavailable`; each may be repeated.

    `memory` is the file that keeps the pauses where Redis is a fake one that ends with its process.
    """

    def __init__(self, state: State, memory: Path | None = None) -> None:
        self._scripts: ScriptRunner = state.scripts
        self._memory = memory

    async def remember(self) -> None:
        """At the start: the pauses of the process before, if there is a memory."""
        if self._memory is None or not self._memory.exists():
            return
        for queue, order in loads(self._memory.read_bytes()).items():
            await self._scripts.command("HSETNX", PAUSED, queue, dumps(order))

    async def standing(self) -> Standing:
        paused = await self._scripts.command("HGETALL", PAUSED)
        draining = await self._scripts.command("HGETALL", DRAINING)
        return Standing(_orders(paused), _orders(draining))

    async def pause(self, queue: str, order: Order) -> None:
        """Let no worker take from the queue. One that is paused already stays as it was."""
        event = _event(ServiceEventKind.QUEUE_PAUSED, order, queue=queue)
        await self._change(PAUSED, queue, dumps(asdict(order)), event, queue)

    async def resume(self, queue: str, order: Order) -> None:
        event = _event(ServiceEventKind.QUEUE_RESUMED, order, queue=queue)
        await self._change(PAUSED, queue, b"", event, queue)

    async def drain(self, worker: str, order: Order) -> None:
        """Let this worker take nothing new."""
        event = _event(ServiceEventKind.WORKER_DRAINING, order, worker=worker)
        await self._change(DRAINING, worker, dumps(asdict(order)), event)

    async def undrain(self, worker: str, order: Order) -> None:
        event = _event(ServiceEventKind.WORKER_UNDRAINED, order, worker=worker)
        await self._change(DRAINING, worker, b"", event)

    async def forget(self, worker: str) -> None:
        """The worker has ended: nothing is left to be drained."""
        await self._scripts.command("HDEL", DRAINING, worker)

    async def _change(
        self, orders: str, name: str, order: bytes, event: bytes, queue: str = ""
    ) -> None:
        await self._scripts.run("control", [orders], [name, order, event, queue])
        if self._memory is not None:
            paused = (await self.standing()).paused
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._memory.with_suffix(".new")
            fresh.write_bytes(dumps({queue: asdict(each) for queue, each in paused.items()}))
            fresh.replace(self._memory)


def _orders(raw: Any) -> dict[str, Order]:
    return {text(name): Order(**loads(order)) for name, order in pairs(raw).items()}


def _event(kind: ServiceEventKind, order: Order, **what: str) -> bytes:
    return dumps({"kind": kind, **what, **asdict(order)})
