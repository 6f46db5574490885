"""What the routes are given: the open resources, and who may see what."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from api.keys import CALLER
from api.submission import Submitter
from api.taking import Taking
from handlers.registry import Registry
from infra.resources import Resources

ANONYMOUS = "anonymous"


async def _resources(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


async def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


async def _taking(request: Request) -> Taking:
    return taking_of(request)


def taking_of(request: Request) -> Taking:
    """What takes submissions on."""
    taking: Taking = request.app.state.taking
    return taking


async def _submitter(request: Request) -> Submitter:
    return taking_of(request).submitter


async def _caller(request: Request) -> str:
    name: str = request.scope.get(CALLER, ANONYMOUS)
    return name


CallerDep = Annotated[str, Depends(_caller)]
"""The name of the key that was given; `anonymous` where none is asked."""
ResourcesDep = Annotated[Resources, Depends(_resources)]
RegistryDep = Annotated[Registry, Depends(_registry)]
SubmitterDep = Annotated[Submitter, Depends(_submitter)]
TakingDep = Annotated[Taking, Depends(_taking)]
