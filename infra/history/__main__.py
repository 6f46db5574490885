"""`python -m infra.history`: bring the database of the settings up to date."""

from __future__ import annotations

import asyncio
import sys

from stepline.errors import SteplineError

from infra.history.engine import make_engine
from infra.history.schema import current_revision, latest_revision, migrate_engine
from infra.settings import load_settings, redact


async def migrate(url: str) -> str:
    """Migrate, and say what was done."""
    engine = make_engine(url)
    try:
        before = await current_revision(engine)
        if before == latest_revision():
            return f"{redact(url)}: up to date at {before}"
        await migrate_engine(engine)
        return f"{redact(url)}: migrated from {before or 'nothing'} to {latest_revision()}"
    finally:
        await engine.dispose()


def main() -> int:
    try:
        settings = load_settings()
        print(asyncio.run(migrate(settings.resolved_database_url)))  # noqa: T201
    except SteplineError as error:
        print(f"stepline migrate: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
