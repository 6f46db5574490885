"""What the dashboard asks of the API: one method a question, over the SDK.

Answers are documents, as they go over the wire (`stepline.contract` has their shapes): they pass on
to the browser, which wants JSON too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, TypeAlias
from urllib.parse import quote
from uuid import uuid4

from pydantic import BaseModel
from stepline.client import Client
from stepline.contract.events import FeedReset

Doc: TypeAlias = dict[str, Any]
Action: TypeAlias = Literal["retry", "cancel", "replay", "discard"]

PATIENCE = 2.0
"""Seconds that a question is repeated for while the API is away: then people are told."""


class Source:
    """The API, with one viewer's key."""

    def __init__(self, url: str, key: str | None) -> None:
        self._client = Client(url, api_key=key, timeout=10.0, patience=PATIENCE)
        self.url = self._client.url

    async def close(self) -> None:
        await self._client.close()

    async def _post(self, path: str, body: Mapping[str, Any] | None = None) -> Doc:
        response = await self._client.request("POST", path, json=dict(body or {}))
        answer: Doc = response.json()
        return answer

    async def feed(self, after: str | None) -> AsyncIterator[Doc]:
        """What happens to all tasks after that event (None: from now on), without end. Raises what
        the SDK raises once the API has been away for some time."""
        async with aclosing(self._client.feed(after=after)) as feed:
            async for event in feed:
                if isinstance(event, FeedReset):
                    yield {"kind": "reset", "id": event.id}
                else:
                    yield _doc(event)

    # Tasks

    async def tasks(
        self, where: Mapping[str, Any], *, cursor: str | None = None, limit: int = 50
    ) -> Doc:
        """A page of the list, newest first; `where` as of `Client.list`."""
        return _doc(await self._client.list(**where, page_size=limit).page(cursor))

    async def task(self, task_id: str) -> Doc:
        """The whole of a task."""
        return _doc(await self._client.task(quote(task_id, safe="")).detail())

    async def cancel(self, task_id: str) -> Doc:
        return _doc(await self._client.task(task_id).cancel())

    async def retry(
        self, task_id: str, *, from_step: int | None = None, payload: Doc | None = None
    ) -> str:
        """Answers the new task's id."""
        task = await self._client.task(task_id).retry(from_step=from_step, payload=payload)
        return task.id

    async def run_now(self, task_id: str) -> Doc:
        return _doc(await self._client.task(task_id).run_now())

    async def submit(self, path: str, body: Mapping[str, Any]) -> str:
        """A submission to the path that a task type names; answers the task's id. Not by the SDK's
        method: what is wrong with it is for the API to say, field by field."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": uuid4().hex}
        response = await self._client.request("POST", path, json=dict(body), headers=headers)
        return str(response.json()["task_id"])

    async def task_types(self) -> list[Doc]:
        return [_doc(item) for item in await self._client.task_types()]

    # Many at once

    async def count(self, action: Action, where: Mapping[str, Any]) -> int:
        """How many an action would be done to."""
        return await self._client.bulk.preview(action, **where)

    async def bulk(
        self,
        action: Action,
        *,
        ids: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> Doc:
        return _doc(await self._client.bulk.begin(action, ids, **(where or {})))

    async def bulk_state(self, action_id: str) -> Doc:
        return _doc(await self._client.bulk.get(action_id))

    async def abort_bulk(self, action_id: str) -> Doc:
        return _doc(await self._client.bulk.abort(action_id))

    # The system

    async def stats(self, window: int) -> Doc:
        """Figures of the last `window` seconds."""
        return _doc(await self._client.stats(window))

    async def queues(self) -> list[Doc]:
        return [_doc(queue) for queue in await self._client.queues.list()]

    async def pause(self, queue: str, reason: str | None = None) -> Doc:
        return _doc(await self._client.queues.pause(queue, reason))

    async def resume(self, queue: str) -> Doc:
        return _doc(await self._client.queues.resume(queue))

    async def workers(self) -> list[Doc]:
        return [_doc(worker) for worker in await self._client.workers.list()]

    async def drain(self, worker_id: str) -> Doc:
        return _doc(await self._client.workers.drain(worker_id))

    async def undrain(self, worker_id: str) -> Doc:
        return _doc(await self._client.workers.undrain(worker_id))

    async def failures(self, *, window: int, state: Literal["open", "resolved"]) -> list[Doc]:
        """Groups of failures, the last seen first."""
        groups = await self._client.failures.list(window=window, state=state)
        return [_doc(group) for group in groups]

    async def resolve(self, fingerprint: str) -> Doc:
        return _doc(await self._client.failures.resolve(fingerprint))

    async def reopen(self, fingerprint: str) -> Doc:
        return _doc(await self._client.failures.reopen(fingerprint))

    async def dead_letters(
        self,
        *,
        resolved: bool = False,
        reason: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Doc:
        listing = self._client.dead_letters.list(resolved=resolved, reason=reason, page_size=limit)
        return _doc(await listing.page(cursor))

    async def dead_letter(self, letter_id: str) -> Doc:
        return _doc(await self._client.dead_letters.get(letter_id))

    async def replay(self, letter_id: str) -> str:
        """Answers the new task's id."""
        return (await self._client.dead_letters.replay(letter_id)).id

    async def discard(self, letter_id: str) -> Doc:
        return _doc(await self._client.dead_letters.discard(letter_id))

    async def schedules(self) -> list[Doc]:
        return [_doc(schedule) for schedule in await self._client.schedules.list()]

    async def run_schedule(self, type_name: str) -> str:
        """Answers the new task's id."""
        return (await self._client.schedules.run(type_name)).id

    async def users(self, cursor: str | None = None) -> Doc:
        return _doc(await self._client.users.list().page(cursor))

    # not by the SDK's methods: what is wrong is for the API to say, in its words

    async def create_user(self, username: str, email: str) -> Doc:
        return await self._post("/users/", {"username": username, "email": email})

    async def change_user(self, user_id: int, username: str, email: str) -> Doc:
        body = {"username": username, "email": email}
        response = await self._client.request("PATCH", f"/users/{user_id}", json=body)
        answer: Doc = response.json()
        return answer

    async def delete_user(self, user_id: int) -> None:
        await self._client.users.delete(user_id)

    async def health(self) -> Doc:
        """Which parts are up; also when it is not well."""
        return _doc(await self._client.health())


def _doc(model: BaseModel) -> Doc:
    return model.model_dump(mode="json")
