"""A deployment with a life: a shop's plugin, traffic that ran, fails, waits and runs on.

The tasks are real ones that ran here. Only the figures of the hour before are made up, since nobody
waits an hour for a picture.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2

from infra.history.buckets import bucket_of
from tests.acceptance.conftest import until_healthy
from tests.browser.conftest import Stand, dashboard_process, deployed

HERE = Path(__file__).parent
MINUTE = 60
QUEUES = {
    "quick": "quick_tasks",
    "invoice": "quick_tasks",
    "email": "email_tasks",
    "chain": "chain_tasks",
    "batch": "long_tasks",
}
TYPICAL = {"quick": 0.006, "invoice": 0.09, "email": 0.4, "chain": 0.05, "batch": 1.4}
PER_MINUTE = {"quick": 46, "invoice": 31, "email": 9, "chain": 14, "batch": 3}


def install_shop(folder: Path) -> None:
    """The shop as an installed package would be found."""
    shutil.copy(HERE / "shop.py", folder / "a_shop.py")
    info = folder / "a_shop-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-shop\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stepline.handlers]\na_shop = a_shop\n")


def past_hour(database: Path) -> None:
    """Figures of the hour before: busier and slower towards its middle."""
    chance = random.Random(7)
    now = int(time.time()) // MINUTE * MINUTE
    rows: dict[tuple[Any, ...], int] = {}
    for ago in range(1, 60):
        busy = 1.0 + 0.6 * max(0.0, 1 - abs(ago - 28) / 18) + chance.uniform(-0.15, 0.15)
        for kind, usual in PER_MINUTE.items():
            for _ in range(int(usual * busy)):
                seconds = TYPICAL[kind] * busy**2 * chance.lognormvariate(0, 0.55)
                outcome = "FAILURE" if chance.random() < 0.012 * busy else "SUCCESS"
                key = (now - ago * MINUTE, kind, QUEUES[kind], outcome, bucket_of(seconds))
                rows[key] = rows.get(key, 0) + 1
    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT OR IGNORE INTO activity (span, at, type, queue, outcome, bucket, count) "
            "VALUES (60, ?, ?, ?, ?, ?, ?)",
            [(*key, count) for key, count in rows.items()],
        )


def open_stage(folder: Path, stack: ExitStack) -> Stand:
    """Everything started and filled; the pictures can be taken."""
    install_shop(folder)
    made = deployed(
        folder,
        stack,
        PYTHONPATH=str(folder),
        # a mail provider that is down: what fails in passing is retried, and shows
        STEPLINE_SMTP_URL="smtp://127.0.0.1:9",
    )
    until_healthy(made)
    url = stack.enter_context(dashboard_process(made, "--rabbitmq-url", "http://127.0.0.1:15672"))
    stand = Stand(made, url)
    past_hour(folder / "data" / "stepline.db")
    play(stand)
    return stand


def play(stand: Stand) -> None:
    """An hour of a shop's life in some seconds."""
    chance = random.Random(11)
    for number in range(6):
        stand.submit("/tasks/quick", numbers=[1.5 * number, 12, 7], task_name="Basket totals")
    for order in range(48120, 48138):
        country = chance.choice(["DE", "FR", "NL", "AT"])
        stand.submit("/tasks/invoice", **order_of(order, country, chance))
    for order in (48139, 48140, 48141):
        stand.submit("/tasks/invoice", **order_of(order, "CH", chance))
    stand.submit(
        "/tasks/invoice", order_id=48142, country="DE", lines=[0.0], task_name="Invoice 48142"
    )
    stand.submit("/tasks/batch", user_ids=[101, 102, 103, 104, 105], task_name="Loyalty points")
    stand.submit("/chain/process", task_name="Customer record 7741", **CUSTOMER)
    stand.submit("/chain/process", task_name="客户档案 7742", **CUSTOMER)
    stand.submit("/chain/process", task_name="Customer record 7743", **BAD_CUSTOMER)

    def mail(name: str, subject: str) -> None:
        stand.submit(
            "/tasks/email",
            recipient=f"{name}@example.com",
            subject=subject,
            message="It leaves us today.",
            task_name=f"{subject} to {name}",
        )

    for name in ("ada", "grace", "edsger"):
        mail(name, "Shipping notice")
    stand.submit("/tasks/quick", numbers=[1], delay=5400, task_name="Month-end closing")
    stand.submit("/tasks/batch", user_ids=[1, 2], delay=900, task_name="Reminder of open carts")
    httpx2.post(
        f"{stand.deployment.url}/queues/email_tasks/pause",
        json={"reason": "mail provider is down"},
    )
    for number in range(23):  # by now the workers have heard of the pause
        mail("ada", f"Receipt {48120 + number}")
    for supplier, products in (("Nordwind", 5_200), ("Halden & Co", 9_400)):
        stand.submit(
            "/tasks/import_products",
            supplier=supplier,
            products=products,
            task_name=f"Catalogue of {supplier}",
        )
    for order in range(48143, 48147):
        stand.submit("/tasks/invoice", **order_of(order, "FR", chance))
    cancelled = stand.submit("/tasks/quick", numbers=[3], delay=60, task_name="Ordered twice")
    httpx2.post(
        f"{stand.deployment.url}/tasks/{cancelled}/cancel", json={"reason": "ordered twice"}
    )
    stand.submit("/tasks/long", duration=600, task_name="大数据ETL处理")
    stand.submit("/chain/process", task_name="Customer record 7744", **CUSTOMER)


def order_of(order: int, country: str, chance: random.Random) -> dict[str, Any]:
    lines = [round(chance.uniform(5, 240), 2) for _ in range(chance.randrange(1, 5))]
    return {
        "order_id": order,
        "country": country,
        "lines": lines,
        "api_token": "tok_live_1f9c",
        "task_name": f"Invoice {order}",
    }


CUSTOMER: dict[str, Any] = {
    "request_type": "data_enrichment",
    "chain_type": "standard",
    "data": {
        "payload": {
            "first_name": "  Mei ",
            "last_name": "Lindqvist",
            "email": "mei.lindqvist@example.com",
            "country": "中国",
            "birth_date": "1988-04-12",
        },
        "required_fields": ["first_name", "email"],
        "transformations": {"first_name": ["strip", "title_case"]},
        "export_format": "json",
        "notification_type": "log",
        "recipients": ["crm"],
    },
}
BAD_CUSTOMER: dict[str, Any] = {
    "request_type": "data_validation",
    "chain_type": "validation_only",
    "data": {
        "payload": {"first_name": "", "email": "not an address"},
        "required_fields": ["first_name", "email"],
        "validation_rules": {"email": {"type": "email"}},
    },
}
