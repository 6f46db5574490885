"""What a database says becomes one of two: try again later, or never."""

from __future__ import annotations

import pymysql.err
import pytest
from sqlalchemy import exc

from infra.history.base import HistoryRejected, HistoryUnavailable
from infra.history.engine import plain, translate


def said(number: int, kind: type[exc.DBAPIError] = exc.OperationalError) -> exc.DBAPIError:
    return kind("INSERT", {}, pymysql.err.OperationalError(number, "words"))


@pytest.mark.parametrize(
    "error",
    [
        said(2003),
        said(2013),
        said(1040),
        said(1205),
        said(1213),
        exc.TimeoutError("the pool is exhausted"),
        exc.InterfaceError("SELECT", {}, Exception("closed")),
        ConnectionResetError("reset"),
        TimeoutError(),
    ],
    ids=str,
)
def test_a_database_that_is_away_or_busy_is_unavailable(error: Exception) -> None:
    assert isinstance(translate(error), HistoryUnavailable)


@pytest.mark.parametrize(
    "error",
    [
        said(1406, exc.DataError),
        said(1062, exc.IntegrityError),
        said(1153),
        said(1366),
        exc.StatementError("bad value", "INSERT", {}, OverflowError("date out of range")),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        OverflowError("too large for SQLite"),
    ],
    ids=str,
)
def test_a_value_that_no_repetition_makes_fit_is_rejected(error: Exception) -> None:
    assert isinstance(translate(error), HistoryRejected)


def test_a_word_that_no_ascii_column_can_hold_matches_nothing() -> None:
    assert plain("quick") == "quick"
    assert plain("中文") == plain("ü") == "~"
