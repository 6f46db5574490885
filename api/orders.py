"""Orders as the API shows and takes them: who pauses or drains what, when and why."""

from __future__ import annotations

from stepline.contract import Order as OrderView
from stepline.contract import OrderRequest

from infra.codec import moment, now, timestamp
from infra.state.controls import Order


def new_order(caller: str, body: OrderRequest | None) -> Order:
    """An order given now."""
    return Order(caller, timestamp(now()), body.reason if body is not None else None)


def order_view(order: Order | None) -> OrderView | None:
    if order is None:
        return None
    return OrderView(by=order.by, at=moment(order.at), reason=order.reason)
