"""What goes over the wire when deliveries are settled: few frames, and none passes by another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelInvalidStateError

from infra.broker.base import StaleDelivery
from infra.broker.rabbit_acks import InHand


@dataclass
class Wire:
    """A channel that notes its frames, and writes one when it is let."""

    frames: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    broken: bool = False

    async def basic_ack(self, tag: int, *, multiple: bool = False, wait: bool = True) -> None:
        await self._write(f"ack to {tag}" if multiple else f"ack {tag}", wait=wait)

    async def basic_reject(self, tag: int, *, requeue: bool) -> None:
        await self._write(f"reject {tag}", wait=True)

    async def _write(self, frame: str, *, wait: bool) -> None:
        if self.broken:
            raise ChannelInvalidStateError("closed")
        if wait:
            await self.open.wait()
        self.frames.append(frame)


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.open.set()
    return wire


@pytest.fixture
def in_hand(wire: Wire) -> InHand:
    """Five messages."""
    made = InHand(cast(AbstractChannel, wire))
    for tag in range(1, 6):
        made.add(tag)
    return made


async def turns() -> None:
    """Let the event loop go round, until all that can go on waits for the wire."""
    for _ in range(5):
        await asyncio.sleep(0)


async def acked(in_hand: InHand, *tags: int) -> None:
    await asyncio.gather(*(in_hand.ack(tag) for tag in tags))


async def test_one_frame_stands_for_all_that_begin_with_the_oldest(
    wire: Wire, in_hand: InHand
) -> None:
    await acked(in_hand, 3, 1, 2)

    assert wire.frames == ["ack to 3"]


async def test_a_frame_for_several_stops_at_what_is_not_done(wire: Wire, in_hand: InHand) -> None:
    await acked(in_hand, 1, 2, 4, 5)

    assert wire.frames == ["ack to 2", "ack 4", "ack 5"]

    await acked(in_hand, 3)

    assert wire.frames[3:] == ["ack 3"]


async def test_one_alone_stands_for_itself(wire: Wire, in_hand: InHand) -> None:
    await acked(in_hand, 1)

    assert wire.frames == ["ack 1"]


async def test_no_frame_stands_for_what_is_being_released(wire: Wire, in_hand: InHand) -> None:
    wire.open.clear()
    released = asyncio.create_task(in_hand.release(2))
    await asyncio.sleep(0)
    done = asyncio.create_task(acked(in_hand, 1, 3, 4))
    await turns()
    wire.open.set()
    await asyncio.gather(released, done)

    assert set(wire.frames) == {"reject 2", "ack 1", "ack 3", "ack 4"}


async def test_what_comes_while_a_frame_is_being_written_goes_with_the_next(
    wire: Wire, in_hand: InHand
) -> None:
    wire.open.clear()
    first = asyncio.create_task(acked(in_hand, 2))
    await turns()
    rest = asyncio.create_task(acked(in_hand, 1, 3, 4))
    await turns()
    wire.open.set()
    await asyncio.gather(first, rest)

    assert wire.frames == ["ack 2", "ack to 4"]


async def test_a_message_is_settled_once(in_hand: InHand) -> None:
    await acked(in_hand, 1)

    for again in (in_hand.ack, in_hand.release):
        with pytest.raises(StaleDelivery):
            await again(1)


async def test_on_a_channel_that_has_gone_each_caller_hears_it(wire: Wire, in_hand: InHand) -> None:
    wire.broken = True

    answers = await asyncio.gather(
        *(in_hand.ack(tag) for tag in (1, 2, 4)), in_hand.release(3), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [StaleDelivery] * 4
