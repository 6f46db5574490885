"""A shop's task types, for the pictures: a plugin like any other."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, Field
from stepline import Context, Reject, RetryPolicy, handler, task_type

VAT = {"DE": 19, "FR": 20, "NL": 21, "AT": 20}
STEP = 1.0
"""Seconds that a batch of products takes here."""


class Order(BaseModel):
    """An order to bill."""

    order_id: int = Field(ge=1, description="The order's number.")
    country: str = Field(min_length=2, max_length=2, description="ISO code of the buyer's country.")
    lines: list[float] = Field(min_length=1, description="Net prices.")
    api_token: str | None = Field(default=None, description="Of the shop that sells.")


class Catalogue(BaseModel):
    """Products to import."""

    supplier: str = Field(min_length=1)
    products: int = Field(ge=1, le=100_000)


@handler(timeout=30)
async def load_order(ctx: Context, payload: Order) -> dict[str, Any]:
    await ctx.log(
        f"order {payload.order_id} with {len(payload.lines)} lines", country=payload.country
    )
    return {"order_id": payload.order_id, "net": round(sum(payload.lines), 2)}


@handler(timeout=30)
async def price(ctx: Context, payload: Order) -> dict[str, Any]:
    net = ctx.outputs["load_order"]["net"]
    if net <= 0:
        raise Reject(f"order {payload.order_id} comes to nothing", code="empty_order")
    rate = VAT[payload.country]
    return {
        "net": net,
        "vat": round(net * rate / 100, 2),
        "gross": round(net * (100 + rate) / 100, 2),
    }


@handler(timeout=30)
async def render(ctx: Context, payload: Order) -> dict[str, Any]:
    amounts = ctx.outputs["price"]
    await asyncio.sleep(0.05)
    return {"document": f"invoice-{payload.order_id}.pdf", "gross": amounts["gross"]}


@handler(timeout=30)
async def deliver(ctx: Context, payload: Order) -> dict[str, Any]:
    await ctx.log("sent")
    return {"sent": ctx.outputs["render"]["document"]}


@handler(timeout=3600)
async def import_products(ctx: Context, payload: Catalogue) -> dict[str, Any]:
    for done in range(0, payload.products, 100):
        await asyncio.sleep(STEP)
        await ctx.progress(done, payload.products, f"{payload.supplier}: {done:,} products")
    return {"imported": payload.products}


class Nothing(BaseModel):
    """No payload."""


@handler(timeout=60)
async def refresh_rates(ctx: Context, payload: Nothing) -> dict[str, Any]:
    await ctx.log("rates refreshed")
    return {"rates": 31}


INVOICE = task_type(
    "invoice",
    payload=Order,
    handlers=[load_order, price, render, deliver],
    retry=RetryPolicy(attempts=2, base=0.3, cap=0.3),
)
IMPORT = task_type(
    "import_products", payload=Catalogue, handlers=[import_products], queue="imports"
)
RATES = task_type(
    "refresh_rates",
    payload=Nothing,
    handlers=[refresh_rates],
    schedule="*/15 * * * *",
    timezone="Europe/Berlin",
    schedule_payload={},
)
