"""`batch`: process users, each by itself, and go on where an interruption came."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from stepline.authoring import Context, UserRecord, handler, task_type
from stepline.contract import BatchRequest

_LOOKUP = 500
"""Users per query."""

_SAVES = 100
"""Most checkpoints of one run: each holds all rows so far, and ten thousand would be too many."""


@handler
async def batch(ctx: Context, payload: BatchRequest) -> dict[str, Any]:
    """A normalised profile and its digest for each user; ids that nobody has are listed.

    An id that is given twice is processed once, and told in `duplicate_user_ids`.
    """
    wanted = list(dict.fromkeys(payload.user_ids))
    state = _snapshot(ctx.saved or {"done": 0, "processed": [], "missing": []})
    every = max(1, len(wanted) // _SAVES)
    await ctx.progress(state["done"], len(wanted))
    while state["done"] < len(wanted):
        group = wanted[state["done"] : state["done"] + _LOOKUP]
        users = await ctx.users.get_many(group)
        for user_id in group:
            await _process(ctx, user_id, users.get(user_id), state, len(wanted))
            if state["done"] % every == 0 or state["done"] == len(wanted):
                await ctx.save(_snapshot(state))
    return {
        "status": "completed",
        "total_requested": len(payload.user_ids),
        "successfully_processed": len(state["processed"]),
        "processed_users": state["processed"],
        "missing_user_ids": state["missing"],
        "duplicate_user_ids": [
            item for item, times in Counter(payload.user_ids).items() if times > 1
        ],
    }


async def _process(
    ctx: Context, user_id: int, user: UserRecord | None, state: dict[str, Any], total: int
) -> None:
    if user is None:
        state["missing"].append(user_id)
    else:
        state["processed"].append(profile(user))
    state["done"] += 1
    name = f"no user {user_id}" if user is None else user.username
    await ctx.progress(state["done"], total, name)


def profile(user: UserRecord) -> dict[str, Any]:
    """The user with name and address in the form they compare by, and a digest of just that."""
    username_key = unicodedata.normalize("NFKC", user.username).casefold()
    local, _, domain = unicodedata.normalize("NFC", user.email).rpartition("@")
    email_key = f"{local}@{domain.lower()}"
    canonical = json.dumps([user.id, username_key, email_key], ensure_ascii=False)
    return {
        "user_id": user.id,
        "username": user.username,
        "email": user.email,
        "processed_at": datetime.now(UTC).isoformat(),
        "username_key": username_key,
        "email_key": email_key,
        "email_domain": domain.lower(),
        "profile_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
    }


def _snapshot(state: dict[str, Any]) -> dict[str, Any]:
    return {
        "done": state["done"],
        "processed": list(state["processed"]),
        "missing": list(state["missing"]),
    }


BATCH = task_type(
    "batch",
    payload=BatchRequest,
    handlers=[batch],
    queue="long_tasks",
    timeout=3_600,
    description="Users, processed one by one.",
)
