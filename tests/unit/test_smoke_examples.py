"""What `./task smoke` sends is what the READMEs show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.smoke_examples import EXAMPLES
from api.smoke_stories import STORIES

ROOT = Path(__file__).parents[2]
SENT = {f"{example.method} {example.path}" for example in EXAMPLES} | {
    request for story in STORIES for request in story.requests
}
LEFT_OUT = {
    "POST /tasks/greet",  # of a package that the reader writes
    "POST /queues/email_tasks/pause",  # a system in use would stop sending mail
}
CURL = re.compile(r"^ +\$? ?curl (?:.*\\\n)*.*$", re.MULTILINE)
ADDRESS = re.compile(r"localhost:8000(/[^\s'\"]*)")
TASK_ID = re.compile(r"[0-9a-f]{8}-(?:…|[0-9a-f-]+)")


def shown(text: str) -> set[str]:
    """Every request that a page makes with curl, ids left out."""
    requests = set()
    for command in CURL.findall(text):
        path = ADDRESS.search(command)
        assert path, f"no address of the service in {command!r}"
        method = "POST" if re.search(r"-X POST| -d | --data-binary ", command) else "GET"
        requests.add(f"{method} {TASK_ID.sub('{id}', path[1])}")
    return requests


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_every_request_of_the_readme_is_sent(page: str) -> None:
    requests = shown((ROOT / page).read_text())

    assert len(requests) >= 6
    assert requests - LEFT_OUT <= SENT
    assert requests >= LEFT_OUT, "what is left out is not even shown any more"
