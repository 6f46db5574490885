"""`POST /chain/*`: data chains, by name, by sequence, and many at once."""

from __future__ import annotations

from fastapi import APIRouter, Response
from stepline.contract import (
    Accepted,
    ChainBatchRequest,
    ChainRequest,
    ChainType,
    DynamicChainRequest,
)

from api.accept import AcceptanceDep
from api.routes.submit import ANSWERS
from api.submit_route import SubmitRoute

router = APIRouter(prefix="/chain", tags=["chain"], route_class=SubmitRoute)


@router.post("/process", status_code=202, response_model=Accepted, responses=ANSWERS)
async def process(body: ChainRequest, accept: AcceptanceDep) -> Response:
    """One request through a chain."""
    return await accept("chain", body)


@router.post("/dynamic", status_code=202, response_model=Accepted, responses=ANSWERS)
async def dynamic(body: DynamicChainRequest, accept: AcceptanceDep) -> Response:
    """One request through the handlers of one's own choice, in that order."""
    fields = body.model_dump(exclude_unset=True) | {"chain_type": ChainType.DYNAMIC}
    chain = ChainRequest.model_validate(fields)
    return await accept("chain", chain)


@router.post("/batch", status_code=202, response_model=Accepted, responses=ANSWERS)
async def batch(body: ChainBatchRequest, accept: AcceptanceDep) -> Response:
    """Several requests through one kind of chain, as one task; a bad one fails alone."""
    return await accept("chain_batch", body)
