"""Which queues have no consumer, and since when: what a broker has to be asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping


class Unserved:
    """Remembers, from one look at the broker to the next."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def look(self, consumers: Mapping[str, int]) -> dict[str, float]:
        """Takes how many consumers each queue has; answers, for those with none, the seconds since
        the first of the looks that all found it so."""
        now = time.monotonic()
        self._since = {
            queue: self._since.get(queue, now) for queue, count in consumers.items() if not count
        }
        return {queue: now - since for queue, since in self._since.items()}
