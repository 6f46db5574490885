"""Ids for effects in the outside world: the same in every attempt, so that a repeat shows."""

from __future__ import annotations

import hashlib


def stable_id(*parts: str) -> str:
    """32 hex digits that depend on `parts` alone, and on where one ends and the next begins."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def message_id(*parts: str) -> str:
    """A mail's Message-ID without angle brackets."""
    return f"{stable_id(*parts)}@stepline"
