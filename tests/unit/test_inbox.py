"""Which of the recorder's deliveries make a batch, and when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from infra.broker.base import Message
from infra.broker.topology import DEAD_LETTERS_QUEUE, HISTORY_QUEUE
from infra.envelope import KIND as ENVELOPE
from infra.records import KIND as RECORD
from workers import inbox
from workers.inbox import Inbox


@dataclass(eq=False)
class Handed:
    """A delivery that says nothing but what kind it is of."""

    message: Message
    queue: str = HISTORY_QUEUE
    count: int = 0

    async def ack(self) -> None: ...

    async def release(self) -> None: ...


def acceptance(size: int = 10, queue: str = HISTORY_QUEUE) -> Handed:
    return Handed(Message(ENVELOPE, b"x" * size), queue)


def end(size: int = 10) -> Handed:
    return Handed(Message(RECORD, b"x" * size))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for company."""
    monkeypatch.setattr(inbox, "LINGER", 0.0)
    monkeypatch.setattr(inbox, "PACE", 0.0)
    monkeypatch.setattr(inbox, "MANY_BYTES", 100)


async def is_pending(batch: asyncio.Task[list[Handed]]) -> bool:
    done, _ = await asyncio.wait([batch], timeout=0.05)
    return not done


async def test_while_little_waits_all_of_it_is_written() -> None:
    box = Inbox(linger=True)
    first, second = acceptance(), end()
    box.put(first)
    box.put(second)

    assert set(await box.batch()) == {first, second}


async def test_while_much_waits_ends_go_first() -> None:
    box = Inbox(linger=True)
    accepted = [acceptance(60) for _ in range(3)]
    for delivery in accepted:
        box.put(delivery)
    waiting = asyncio.create_task(box.batch())
    assert await is_pending(waiting)

    ended = end()
    box.put(ended)

    assert await waiting == [ended]


async def test_what_is_held_back_is_so_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "HELD_BACK", 0.1)
    clock = asyncio.get_running_loop().time
    box = Inbox(linger=True)
    accepted = [acceptance(60) for _ in range(3)]
    began = clock()
    for delivery in accepted:
        box.put(delivery)

    written = list(await box.batch())
    assert clock() - began >= 0.1
    while len(written) < 3:  # each when its time has come
        written += await box.batch()
    assert written == accepted


async def test_what_is_held_back_leaves_room_for_ends_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox, "PREFETCH", 4)
    box = Inbox(linger=True)
    accepted = [acceptance(60) for _ in range(2)]
    for delivery in accepted:
        box.put(delivery)

    assert await box.batch() == accepted


async def test_nothing_is_held_back_where_somebody_waits_for_the_rows() -> None:
    box = Inbox(linger=False)
    accepted = [acceptance(60) for _ in range(3)]
    for delivery in accepted:
        box.put(delivery)

    assert await box.batch() == accepted


async def test_a_dead_letter_is_no_acceptance() -> None:
    box = Inbox(linger=True)
    letters = [acceptance(60, DEAD_LETTERS_QUEUE) for _ in range(3)]
    for letter in letters:
        box.put(letter)

    assert await box.batch() == letters


async def test_to_finish_is_to_hold_nothing_back_and_to_wait_for_all() -> None:
    box = Inbox(linger=True)
    accepted = [acceptance(60) for _ in range(3)]
    for delivery in accepted:
        box.put(delivery)
    finishing = asyncio.create_task(box.finish(30))

    assert await box.batch() == accepted
    await asyncio.sleep(0)
    assert not finishing.done()
    box.done(3)
    await finishing


async def test_what_is_dropped_is_not_waited_for() -> None:
    box = Inbox(linger=True)
    box.put(end())
    (given_out,) = await box.batch()
    box.put(end())
    box.drop()
    finishing = asyncio.create_task(box.finish(30))
    await asyncio.sleep(0)
    assert not finishing.done()
    box.done(1)
    await finishing
    assert given_out is not None


async def test_it_is_told_how_long_the_oldest_has_waited() -> None:
    box = Inbox(linger=True)
    assert box.age == 0
    box.put(end())
    await asyncio.sleep(0.05)
    box.put(end())
    assert box.age >= 0.05

    await box.batch()
    assert box.age == 0


@pytest.mark.parametrize(("linger", "least"), [(True, 0.0), (False, 0.05)])
async def test_the_time_that_something_is_held_back_does_not_count(
    linger: bool, least: float
) -> None:
    box = Inbox(linger=linger)
    box.put(acceptance())
    await asyncio.sleep(0.05)
    assert box.age >= least
    assert (box.age == 0) is linger
