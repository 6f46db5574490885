"""The task types that come with the service."""

from __future__ import annotations

from handlers.api_fetch import API_FETCH
from handlers.batch import BATCH
from handlers.chain import CHAIN
from handlers.chain_batch import CHAIN_BATCH
from handlers.email import EMAIL
from handlers.long import LONG
from handlers.quick import QUICK
from handlers.registry import Registry

TYPES = (LONG, QUICK, EMAIL, BATCH, API_FETCH, CHAIN, CHAIN_BATCH)


def builtin_registry() -> Registry:
    return Registry(TYPES)
