"""The connection that is kept to Redis: it comes back, it does not wait for ever, and no answer
reaches a question that it does not belong to."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ResponseError
from stepline.errors import SteplineError

from infra.state import pipeline
from infra.state.pipeline import Pipeline
from infra.state.redis import Connections, StateUnavailable
from infra.state.scripts import ScriptRunner
from tests.faults.proxy import Proxy
from tests.waiting import wait_for


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def through(proxy: Proxy, url: str) -> str:
    return url.replace(f":{port_of(url)}", f":{proxy.port}")


async def is_now(runner: ScriptRunner, value: bytes) -> bool:
    return bool(await runner.command("GET", "k") == value)


async def test_an_error_is_the_answer_of_its_own_command(redis_url: str) -> None:
    client = Connections(redis_url).client()
    line = Pipeline(client)

    first, second, third = await line.run([("SET", "text", "a"), ("INCR", "text"), ("GET", "text")])

    assert (first, third) == (b"OK", b"a")
    assert isinstance(second, ResponseError)
    await line.close()
    await client.aclose()


async def test_a_connection_that_broke_is_made_anew_within_the_call(redis_url: str) -> None:
    client = Connections(redis_url).client()
    line = Pipeline(client)
    (mine,) = await line.run([("CLIENT", "ID")])

    await client.client_kill_filter(_id=mine, skipme=False)
    (other,) = await line.run([("CLIENT", "ID")])

    assert other != mine
    await line.close()
    await client.aclose()


async def test_a_redis_that_hangs_is_asked_once_and_then_unavailable(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "ANSWER_TIMEOUT", 0.3)
    with Proxy(port_of(redis_url)) as proxy:
        client = Connections(through(proxy, redis_url)).client()
        runner = ScriptRunner(client)
        assert await runner.command("SET", "k", "1") == b"OK"
        proxy.hang()

        with pytest.raises(StateUnavailable):
            await runner.command("INCR", "k")

        proxy.heal()
        # it arrives late and once, and its answer (2, as an integer) is nobody's
        assert await runner.command("GET", "k") in (b"1", b"2")
        await wait_for(lambda: is_now(runner, b"2"))
        assert await runner.command("INCR", "k") == 3
        await runner.close()
        await client.aclose()


async def test_a_redis_that_is_away_is_unavailable_at_once_and_found_again(
    redis_url: str,
) -> None:
    with Proxy(port_of(redis_url)) as proxy:
        client = Connections(through(proxy, redis_url)).client()
        runner = ScriptRunner(client)
        assert await runner.command("SET", "k", "1") == b"OK"
        proxy.refuse()

        answers = await asyncio.gather(
            *(runner.command("GET", "k") for _ in range(3)), return_exceptions=True
        )

        assert [type(answer) for answer in answers] == [StateUnavailable] * 3
        assert isinstance(answers[0], SteplineError)
        proxy.heal()
        assert await runner.command("GET", "k") == b"1"
        await runner.close()
        await client.aclose()
