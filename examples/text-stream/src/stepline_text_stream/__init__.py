"""A small language model as a task: trained on the text it is given, it streams token by token."""

from __future__ import annotations

import random
import re
from typing import Any

from pydantic import BaseModel, Field
from stepline import Context, Reject, handler, task_type

TOKEN = re.compile(r" ?(?:[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s])")
"""A word, a CJK character or a mark, with the space before it: joined, they are the text again."""

SAVE_EVERY = 50
"""Tokens after which a successor need not begin before."""


class TextStream(BaseModel):
    """What to learn from, and how much to write."""

    text: str = Field(
        max_length=1_000_000, examples=["the cat saw the dog and the dog saw the bird"]
    )
    tokens: int = Field(default=200, ge=1, le=20_000, description="How many to write.")
    order: int = Field(default=2, ge=1, le=5, description="Tokens that the next one depends on.")
    prompt: str = Field(default="", max_length=10_000, description="Go on after this.")
    seed: int = Field(default=0, description="The same seed writes the same text.")


def tokenize(text: str) -> list[str]:
    """The text's tokens, all white space being single spaces, the first word being as any other."""
    return TOKEN.findall(" " + " ".join(text.split()))


@handler
def train(ctx: Any, payload: TextStream) -> dict[str, list[str]]:
    """What follows what. A plain `def`: counting a megabyte must not block the event loop."""
    tokens = tokenize(payload.text)
    if len(tokens) <= payload.order:
        raise Reject(
            f"{len(tokens)} tokens are too few to learn from, {payload.order} at a time",
            code="text_too_short",
        )
    followers: dict[str, list[str]] = {}
    for at in range(len(tokens) - payload.order):
        context = "".join(tokens[at : at + payload.order])
        followers.setdefault(context, []).append(tokens[at + payload.order])
    ctx.log(f"{len(tokens)} tokens, {len(followers)} contexts")
    return followers


@handler
async def generate(ctx: Context, payload: TextStream) -> dict[str, Any]:
    """Write token by token. After a worker's death the next one comes to the same tokens again (the
    seed decides), and tells only of those that nobody has heard of."""
    followers = ctx.outputs["train"]
    contexts = sorted(followers)
    dice = random.Random(payload.seed)
    window = tokenize(payload.prompt)[-payload.order :]
    told = ctx.saved or 0
    written: list[str] = []
    while len(written) < payload.tokens:
        choices = followers.get("".join(window))
        if choices is None:  # nothing follows: begin anew somewhere
            window = TOKEN.findall(dice.choice(contexts))
            continue
        token = dice.choice(choices)
        window = [*window[1:], token]
        written.append(token)
        if len(written) <= told:
            continue
        await ctx.emit({"n": len(written), "token": token})
        await ctx.progress(len(written), payload.tokens)
        if len(written) % SAVE_EVERY == 0:
            await ctx.save(len(written))
    return {"text": "".join(written), "tokens": len(written), "contexts": len(contexts)}


TEXT_STREAM = task_type(
    "text_stream",
    payload=TextStream,
    handlers=[train, generate],
    queue="text",
    description="Text in the manner of another, streamed token by token.",
)
