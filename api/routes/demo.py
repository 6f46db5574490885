"""The two demonstrations: real tasks with real payloads, all at once."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from stepline.contract import DemoTask, DemoTasks

from api.demonstrations import Demonstration, chains, concurrent
from api.deps import ResourcesDep, SubmitterDep
from api.errors import ProblemError, responses
from api.submission import Submitter
from api.views import links
from infra.resources import Resources

router = APIRouter(tags=["demonstration"])


@router.post("/demo/run-concurrent-tasks", status_code=202, responses=responses(403, 503))
async def run_concurrent_tasks(resources: ResourcesDep, submitter: SubmitterDep) -> DemoTasks:
    """One task of each type."""
    _allowed(resources)
    settings = resources.settings
    demonstrations = concurrent(settings.resolved_api_url, open_pages_only=bool(settings.api_keys))
    return await _submit(submitter, demonstrations)


@router.post("/chain/demo", status_code=202, responses=responses(403, 503))
async def chain_demo(resources: ResourcesDep, submitter: SubmitterDep) -> DemoTasks:
    """The four chain types, a dynamic chain and a batch."""
    _allowed(resources)
    return await _submit(submitter, chains())


def _allowed(resources: Resources) -> None:
    if not resources.settings.demonstrations:
        raise ProblemError(403, "forbidden", "Demonstrations are off in production.")


async def _submit(submitter: Submitter, demonstrations: list[Demonstration]) -> DemoTasks:
    """All at once: each waits for its confirmation, none for another's."""
    drafts = [
        (submitter.draft(type_name, payload), type_name, description)
        for type_name, description, payload in demonstrations
    ]
    await asyncio.gather(*(submitter.submit(envelope) for envelope, _, _ in drafts))
    return DemoTasks(
        total_tasks=len(drafts),
        tasks=[
            DemoTask(
                type=type_name,
                task_id=envelope.tasks[0].id,
                description=description,
                links=links(envelope.tasks[0].id),
            )
            for envelope, type_name, description in drafts
        ],
    )
