"""What is measured. Each scenario gives plain values, for the report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sse.crowd import Crowd
from benchmarks.sse.processes import Services, cpu_seconds, resident_kb
from benchmarks.sse.subjects import Subject

Values = dict[str, Any]
Tell = Callable[[str], None]

WARM_UP = 1.0
SETTLE = 2.0
NOISE = 65_536
"""Bytes of each event that stalled readers do not take."""


class Writer:
    """Writes events to tasks at a steady rate, each task's by itself."""

    def __init__(self, subject: Subject, task_ids: Sequence[str], padding: int = 0) -> None:
        self._subject = subject
        self._padding = "x" * padding
        self._numbers = dict.fromkeys(task_ids, 0)

    async def run(self, rate: float, seconds: float) -> float:
        """`rate` events a second to each task; returns the rate that came about."""
        before, began = sum(self._numbers.values()), time.monotonic()
        count, period = int(rate * seconds), 1 / rate
        offsets = (period * place / len(self._numbers) for place in range(len(self._numbers)))
        await asyncio.gather(
            *(
                self._write(task_id, began + offset, count, period)
                for task_id, offset in zip(self._numbers, offsets, strict=True)
            )
        )
        written = sum(self._numbers.values()) - before
        return written / len(self._numbers) / max(seconds, time.monotonic() - began)

    async def _write(self, task_id: str, start: float, count: int, period: float) -> None:
        for place in range(count):
            wait = start + place * period - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            await self._subject.publish(task_id, self._numbers[task_id], self._padding)
            self._numbers[task_id] += 1


async def open_tasks(subject: Subject, count: int) -> list[str]:
    return [await subject.open_task() for _ in range(count)]


async def idle(subject: Subject, services: Services, tell: Tell, *, viewers: int) -> Values:
    """Viewers of tasks in which nothing happens: what one costs."""
    pid = subject.server.pid
    crowd = Crowd(subject.server.port)
    task_ids = await open_tasks(subject, max(1, viewers // 10))
    await crowd.gather(task_ids, 50)  # what the first ones load, the others share
    before, redis_before = resident_kb(pid), resident_kb(services.redis.pid)
    began = time.monotonic()
    await crowd.gather(task_ids, viewers)
    took = time.monotonic() - began
    crowd.reset()
    used, began = cpu_seconds(pid), time.monotonic()
    await asyncio.sleep(16)
    busy = (cpu_seconds(pid) - used) / (time.monotonic() - began)
    held = crowd.connected - 50
    values = {
        "viewers": viewers,
        "held": held,
        "connect_seconds": round(took, 1),
        "kb_per_viewer": round((resident_kb(pid) - before) / max(1, held), 1),
        "redis_kb_per_viewer": round(
            (resident_kb(services.redis.pid) - redis_before) / max(1, held), 1
        ),
        "heartbeats": crowd.pings,
        "cpu_percent": round(100 * busy, 1),
        "statuses": dict(crowd.statuses),
    }
    tell(f"{held} of {viewers} held, {values['kb_per_viewer']} KB each")
    crowd.leave()
    await asyncio.sleep(SETTLE)
    return values


async def fan_out(
    subject: Subject, tell: Tell, *, viewers: int, tasks: int, rate: float, seconds: float
) -> Values:
    """`viewers` spread over `tasks`, each sees `rate` events a second."""
    crowd = Crowd(subject.server.port)
    task_ids = await open_tasks(subject, tasks)
    await crowd.gather(task_ids, viewers)
    values = await _measure(subject, crowd, task_ids, rate, seconds)
    crowd.leave()
    await asyncio.sleep(SETTLE / 2)
    tell(
        f"{tasks} tasks x {viewers // tasks} viewers at {rate:g}/s: "
        f"{values['deliveries_per_second']}/s, p99 {values['p99_ms']} ms"
    )
    return values | {"viewers": viewers, "tasks": tasks}


async def _measure(
    subject: Subject,
    crowd: Crowd,
    task_ids: Sequence[str],
    rate: float,
    seconds: float,
) -> Values:
    writer = Writer(subject, task_ids)
    await writer.run(rate, WARM_UP)
    await asyncio.sleep(0.2)
    crowd.reset()
    crowd.measuring = True
    pid, used, began = subject.server.pid, cpu_seconds(subject.server.pid), time.monotonic()
    written = await writer.run(rate, seconds)
    await asyncio.sleep(0.5)  # the last ones are on their way
    crowd.measuring = False
    took = time.monotonic() - began
    expected = int(rate * seconds) * len(crowd.viewers)
    late = sorted(crowd.latencies)
    return {
        "rate": rate,
        "written_rate": round(written, 2),
        "expected": expected,
        "delivered": crowd.delivered,
        "gaps": crowd.gaps,
        "repeats": crowd.repeats,
        "deliveries_per_second": round(crowd.delivered / max(seconds, took - 0.5)),
        "p50_ms": quantile(late, 0.5),
        "p99_ms": quantile(late, 0.99),
        "max_ms": quantile(late, 1.0),
        "cpu_percent": round(100 * (cpu_seconds(pid) - used) / took, 1),
    }


def quantile(ordered: Sequence[int], share: float) -> float | None:
    """Milliseconds; None of nothing."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6, 1)


async def ceiling(
    subject: Subject, tell: Tell, *, viewers: int, tasks: int, rates: Sequence[float]
) -> Values:
    """More and more, until the 99th percentile passes 100 ms or something does not arrive, twice:
    once may be the machine."""
    steps: list[Values] = []
    waiting = [rate for rate in rates for _ in range(2)]
    while waiting:
        rate = waiting.pop(0)
        step = await fan_out(subject, tell, viewers=viewers, tasks=tasks, rate=rate, seconds=6)
        steps.append(step)
        if within(step):
            waiting = [other for other in waiting if other != rate]
        elif rate not in waiting:
            break
    good = [step["deliveries_per_second"] for step in steps if within(step)]
    return {"viewers": viewers, "tasks": tasks, "steps": steps, "ceiling": max(good, default=0)}


def within(step: Values) -> bool:
    """All arrived, at the rate that was asked for, and in time."""
    return (
        step["delivered"] >= step["expected"]
        and step["written_rate"] >= 0.98 * step["rate"]
        and step["p99_ms"] is not None
        and step["p99_ms"] < 100
    )


async def stalled(
    subject: Subject, tell: Tell, *, viewers: int, stalling: int, seconds: float
) -> Values:
    """The same with and without readers that take nothing, of events large enough to fill what the
    kernel keeps for them."""
    rate = 10
    found: Values = {"viewers": viewers, "stalling": stalling, "stalled_event_bytes": NOISE}
    crowd = Crowd(subject.server.port)
    task_ids = await open_tasks(subject, 10)
    await crowd.gather(task_ids, viewers)
    found["without"] = await _measure(subject, crowd, task_ids, rate, 10)
    crowd.leave()
    await asyncio.sleep(SETTLE / 2)

    crowd, bad = Crowd(subject.server.port), Crowd(subject.server.port)
    task_ids, noisy = await open_tasks(subject, 10), await open_tasks(subject, 10)
    await crowd.gather(task_ids, viewers)
    before = resident_kb(subject.server.pid)
    await bad.gather(noisy, stalling)
    for viewer in bad.viewers:
        viewer.stall()
    noise = asyncio.create_task(Writer(subject, noisy, NOISE).run(5, seconds))
    found["with"] = await _measure(subject, crowd, task_ids, rate, seconds)
    await noise
    found["memory_kb"] = resident_kb(subject.server.pid) - before
    found["streams_left"] = _open_streams(subject) - viewers
    tell(
        f"p99 {found['without']['p99_ms']} ms without, {found['with']['p99_ms']} ms with "
        f"{stalling} stalled; {found['streams_left']} of them still held"
    )
    crowd.leave()
    bad.leave()
    await asyncio.sleep(SETTLE / 2)
    return found


def _open_streams(subject: Subject) -> int:
    """Connections that the server holds on its port."""
    port = f":{subject.server.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)


async def restart(subject: Subject, tell: Tell, *, viewers: int) -> Values:
    """The server ends and comes back while events go on."""
    tasks, rate = 50, 2
    crowd = Crowd(subject.server.port)
    crowd.come_back = True
    task_ids = await open_tasks(subject, tasks)
    await crowd.gather(task_ids, viewers)
    crowd.statuses.clear()
    writer = Writer(subject, task_ids)
    writing = asyncio.create_task(writer.run(rate, 20))
    await asyncio.sleep(3)
    began = time.monotonic()
    await subject.server.stop()
    stopped = time.monotonic()
    await subject.server.start()
    ready = time.monotonic()
    for _ in range(600):
        if crowd.connected == viewers:
            break
        await asyncio.sleep(0.05)
    back = time.monotonic()
    await writing
    await asyncio.sleep(1.0)
    complete = sum(viewer._number == rate * 20 - 1 for viewer in crowd.viewers)
    values = {
        "viewers": viewers,
        "back": crowd.connected,
        "stop_seconds": round(stopped - began, 2),
        "start_seconds": round(ready - stopped, 2),
        "all_back_seconds": round(back - ready, 2),
        "statuses": dict(crowd.statuses),
        "connects_refused": crowd.refused,
        "gaps": crowd.gaps,
        "repeats": crowd.repeats,
        "saw_the_last": complete,
    }
    tell(
        f"{values['back']} of {viewers} back {values['all_back_seconds']} s after the start, "
        f"{crowd.gaps} gaps, {crowd.repeats} repeats, statuses {values['statuses']}"
    )
    crowd.leave()
    await asyncio.sleep(SETTLE / 2)
    return values
