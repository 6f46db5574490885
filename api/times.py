"""Times in queries."""

from __future__ import annotations

from datetime import UTC, datetime

from stepline.contract import EARLIEST, LATEST, FieldProblem

from api.errors import ProblemError


def utc(moment: datetime | None, field: str) -> datetime | None:
    """A time without a zone is UTC. Raises a 422 problem for one that nothing can have."""
    if moment is None:
        return None
    if not EARLIEST <= moment.year <= LATEST:
        message = f"the year must be from {EARLIEST} to {LATEST}"
        problem = FieldProblem(field=field, message=message, code="out_of_range")
        raise ProblemError(422, "invalid_request", f"{field}: {message}", errors=[problem])
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
