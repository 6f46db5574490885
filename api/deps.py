"""What the routes are given: the open resources, and who may see what."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from api.idempotency import Idempotency
from api.keys import CALLER
from api.submission import Submitter
from handlers.registry import Registry
from infra.resources import Resources

ANONYMOUS = "anonymous"


def _resources(request: Request) -> Resources:
    resources: Resources = request.app.state.resources
    return resources


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


def _submitter(request: Request) -> Submitter:
    submitter: Submitter = request.app.state.submitter
    return submitter


def _idempotency(request: Request) -> Idempotency:
    idempotency: Idempotency = request.app.state.idempotency
    return idempotency


def _caller(request: Request) -> str:
    name: str = request.scope.get(CALLER, ANONYMOUS)
    return name


CallerDep = Annotated[str, Depends(_caller)]
"""The name of the key that was given; `anonymous` where none is asked."""
IdempotencyDep = Annotated[Idempotency, Depends(_idempotency)]
ResourcesDep = Annotated[Resources, Depends(_resources)]
RegistryDep = Annotated[Registry, Depends(_registry)]
SubmitterDep = Annotated[Submitter, Depends(_submitter)]
