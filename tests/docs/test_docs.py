"""Each command and each snippet of the documentation, as a reader would try it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml
from stepline.pytest_plugin import SteplineServer

from infra.services.ports import free_port
from tests.docs.pages import Block, blocks
from tests.docs.session import ROOT, reader

DOCS = ROOT / "docs"
MADE = {"http.md", "settings.md"}
"""Pages that are made from the code."""

SERVICES = {"deploy.md"}

PAGES = [
    *sorted(page for page in DOCS.rglob("*.md") if page.name not in MADE | SERVICES),
    ROOT / "sdk" / "README.md",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
async def test_a_page_does_what_it_says(
    page: Path, tmp_path: Path, this_service: SteplineServer
) -> None:
    with reader(tmp_path, this_service.url) as one:
        for block in blocks(page):
            check_form(block)
            await one.follow(block)


async def test_the_page_on_real_services(
    tmp_path: Path, amqp_url: str, redis_url: str, mysql_database: str
) -> None:
    services = {
        "STEPLINE_BROKER_URL": amqp_url,
        "STEPLINE_REDIS_URL": redis_url,
        "STEPLINE_DATABASE_URL": mysql_database,
        "STEPLINE_METRICS_PORT": "0",
    }
    with reader(tmp_path, f"http://localhost:{free_port()}", services) as one:
        for block in blocks(DOCS / "how-to" / "deploy.md"):
            check_form(block)
            await one.follow(block)


def check_form(block: Block) -> None:
    if block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "yaml":
        yaml.safe_load(block.text)
    elif block.language == "json":
        json.loads(block.text)
    else:
        assert block.language in {"text", "console", "python", "html"}, block
