"""Everything with a socket, opened in one place and closed in the reverse order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from stepline.authoring import Mailer

from infra.broker.base import Broker
from infra.broker.factory import make_broker
from infra.broker.topology import Topology
from infra.exports import ExportsStore, open_exports
from infra.fetch import GuardedFetcher
from infra.history.base import History
from infra.history.repository import open_history
from infra.mail import build_mailer
from infra.metrics import Metrics
from infra.settings import Settings, process_name
from infra.state.barriers import Barriers
from infra.state.controls import Controls
from infra.state.feed import Feed
from infra.state.hub import EventHub
from infra.state.liveness import Workers
from infra.state.locks import Locks
from infra.state.redis import Connections
from infra.state.schedules import Schedules
from infra.state.store import State


@dataclass(frozen=True)
class Resources:
    """What a process works with."""

    settings: Settings
    connections: Connections
    broker: Broker
    state: State
    workers: Workers
    barriers: Barriers
    controls: Controls
    locks: Locks
    schedules: Schedules
    hub: EventHub
    feed: Feed
    history: History
    metrics: Metrics
    mailer: Mailer
    fetcher: GuardedFetcher
    exports: ExportsStore


@asynccontextmanager
async def open_resources(
    settings: Settings, *, kind: str, queues: tuple[str, ...]
) -> AsyncIterator[Resources]:
    """Open all of it for a process of `kind` (`api`, `worker`, …). An embedded database is migrated
    on the way; a real one must have been (`./task migrate`)."""
    async with AsyncExitStack() as stack:
        history = await open_history(
            settings.resolved_database_url,
            migrate="DATABASE_URL" in settings.embedded_parts,
        )
        stack.push_async_callback(history.close)
        connections = Connections(settings.redis_url)
        state = State(connections)
        stack.push_async_callback(state.close)
        memory = settings.data_dir / "paused.json" if connections.embedded else None
        controls = Controls(state, memory)
        await controls.remember()
        workers = Workers(connections)
        stack.push_async_callback(workers.close)
        barriers = Barriers(connections)
        stack.push_async_callback(barriers.close)
        locks = Locks(connections, process_name(kind))
        stack.push_async_callback(locks.close)
        schedules = Schedules(connections)
        stack.push_async_callback(schedules.close)
        hub = EventHub(connections)
        stack.push_async_callback(hub.close)
        feed = Feed(connections)
        stack.push_async_callback(feed.close)
        fetcher = await stack.enter_async_context(GuardedFetcher(allow=settings.fetchable))
        exports = open_exports(settings.resolved_exports_url)
        broker = make_broker(
            settings.broker_url,
            publish_timeout=settings.publish_timeout,
            topology=Topology(queues),
            name=process_name(kind),
        )
        await broker.open()
        stack.push_async_callback(broker.close)
        yield Resources(
            settings=settings,
            connections=connections,
            broker=broker,
            state=state,
            workers=workers,
            barriers=barriers,
            controls=controls,
            locks=locks,
            schedules=schedules,
            hub=hub,
            feed=feed,
            history=history,
            metrics=Metrics(),
            mailer=build_mailer(settings),
            fetcher=fetcher,
            exports=exports,
        )
