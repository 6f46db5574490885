"""Checkpoints as they are stored: small ones in Redis, large ones in the exports store."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Protocol

from infra.checkpoints import SKIPPED
from infra.codec import loads

INLINE_LIMIT = 1_000_000
"""Bytes up to which a step's output stays in Redis."""

POINTER = b"@"
"""Begins what points to a blob; no JSON text begins with it."""


class BlobStore(Protocol):
    """Where large outputs go."""

    async def put_blob(self, key: str, data: bytes) -> None: ...

    async def get_blob(self, key: str) -> bytes | None: ...

    async def delete_blobs(self, prefix: str) -> None: ...


class LostCheckpoint(Exception):
    """The blob of a finished step is gone from the store."""


class Checkpoints:
    """Stores and loads step outputs (JSON texts)."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def store(self, task_id: str, index: int, output: bytes) -> bytes:
        """What to keep in Redis for `output`."""
        if len(output) <= INLINE_LIMIT:
            return output
        key = f"{task_id}/{index}"
        await self._blobs.put_blob(key, output)
        return POINTER + key.encode()

    async def load(self, stored: bytes) -> Any:
        """The output that `store` was given, decoded."""
        if not stored.startswith(POINTER):
            return loads(stored)
        key = stored[len(POINTER) :].decode()
        output = await self._blobs.get_blob(key)
        if output is None:
            raise LostCheckpoint(f"the exports store has no checkpoint {key}")
        return loads(output)

    async def load_all(self, steps: Mapping[tuple[int, str], bytes]) -> list[dict[str, Any]]:
        """The outputs as history keeps them; those whose blob is lost are left out."""
        loaded = []
        for (index, handler), stored in sorted(steps.items()):
            if stored == SKIPPED:
                continue
            with contextlib.suppress(LostCheckpoint):
                output = await self.load(stored)
                loaded.append({"handler": handler, "index": index, "output": output})
        return loaded
