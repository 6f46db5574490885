"""The `Prefer` header (RFC 7240): how long a submission shall wait for its task's end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class Preference:
    """Seconds to wait, and what of the header was honoured (for `Preference-Applied`)."""

    wait: float
    applied: str | None = None


def parse_prefer(headers: Iterable[str], default_wait: float = 0.0) -> Preference:
    """Read all `Prefer` headers; of a preference that comes twice the first counts, and what is
    not understood is ignored, as the RFC says."""
    asked: dict[str, str] = {}
    for header in headers:
        for part in header.split(","):
            name, _, value = part.partition(";")[0].partition("=")
            asked.setdefault(name.strip().lower(), value.strip().strip('"'))
    if "respond-async" in asked and "wait" not in asked:
        return Preference(0.0, "respond-async")
    if asked.get("wait", "").isdecimal():
        seconds = min(float(asked["wait"]), MAX_WAIT)
        return Preference(seconds, f"wait={seconds:g}")
    return Preference(default_wait)
