"""`python -m workers`: one worker process, or several, as the settings say."""

from __future__ import annotations

from stepline.errors import SteplineError

from infra.leaving import leave
from infra.logging import configure_logging
from infra.settings import load_settings
from workers.processes import refused, run


def main() -> int:
    try:
        settings = load_settings()
        settings.require_shared("./task worker")
        configure_logging(settings)
        return run(settings)
    except SteplineError as error:
        return refused(error)


if __name__ == "__main__":
    leave(main())
