"""`POST /tickets`: a stream for browsers, which cannot send a key with an EventSource."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter
from stepline.contract import Ticket

from api.deps import CallerDep, ResourcesDep
from api.errors import responses
from infra.codec import now
from infra.state.tickets import LIFE, Tickets

router = APIRouter(tags=["events"])


@router.post("/tickets", status_code=201, responses=responses(401, 503))
async def give_ticket(resources: ResourcesDep, caller: CallerDep) -> Ticket:
    """A ticket opens one stream, once: `new EventSource(url + "?ticket=" + ticket)`. For the next
    connection take another; go on after the last event with `&after=`."""
    expires = now() + timedelta(seconds=LIFE)
    return Ticket(ticket=await Tickets(resources.state).give(caller), expires_at=expires)
