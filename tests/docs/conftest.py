"""The service that the pages' examples run against, unless a page starts its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from stepline.pytest_plugin import SteplineServer


@pytest.fixture(scope="session")
def this_service(request: pytest.FixtureRequest) -> SteplineServer:
    """What `stepline_server` starts from this checkout. The variable is for its start alone: the
    processes of other tests inherit what is set here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPLINE_HOME", str(Path(__file__).parents[2]))
        started: SteplineServer = request.getfixturevalue("stepline_server")
        return started
