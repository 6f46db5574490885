"""The plugin's own tests: its chain in this process, without any service."""

import asyncio
from itertools import pairwise

import pytest
from stepline.testing import RecordingContext, run_chain
from stepline_text_stream import TEXT_STREAM, TOKEN, tokenize

FABLE = "The cat saw the dog, and the dog saw the bird. The bird saw the cat, and the cat ran."


def run(context=None, **payload):
    return asyncio.run(run_chain(TEXT_STREAM, payload, context=context))


def pieces(chain):
    return chain.contexts["generate"].emitted


@pytest.mark.parametrize("text", [FABLE, "猫看见了狗，狗看见了鸟。", "one  two\nthree!"])
def test_tokens_are_the_text_again(text):
    assert "".join(tokenize(text)).split() == text.split()


def test_what_is_streamed_is_what_comes_out():
    chain = run(text=FABLE, tokens=120)

    assert [piece["n"] for piece in pieces(chain)] == list(range(1, 121))
    assert "".join(piece["token"] for piece in pieces(chain)) == chain.result["text"]
    assert chain.result["tokens"] == 120


def test_every_step_of_it_was_seen_in_the_text():
    chain = run(text=FABLE, tokens=100, order=1, prompt="The")

    learnt = tokenize(FABLE)
    seen = set(pairwise(learnt))
    written = tokenize("The") + TOKEN.findall(chain.result["text"])
    for pair in pairwise(written):
        assert pair in seen or pair[0] == learnt[-1], pair  # a full stop ends it


def test_a_seed_writes_the_same_again():
    assert run(text=FABLE, seed=1).result == run(text=FABLE, seed=1).result
    assert run(text=FABLE, seed=1).result != run(text=FABLE, seed=2).result


def test_a_successor_tells_only_what_is_new():
    whole = run(text=FABLE, tokens=120)

    rest = run(text=FABLE, tokens=120, context=RecordingContext(saved=100))

    assert rest.result == whole.result
    assert pieces(rest) == pieces(whole)[100:]


def test_too_little_to_learn_from_is_final():
    chain = run(text="a b", order=2)

    assert chain.failure.code == "text_too_short"
    assert chain.attempts == 1
