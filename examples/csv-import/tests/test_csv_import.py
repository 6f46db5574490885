"""The plugin's own tests: its chain in this process, without any service."""

import asyncio

import pytest
from stepline.testing import run_chain
from stepline_csv_import import CSV_IMPORT

PEOPLE = "name,age\nAda,36\nBob,young\n,41\nCid,44\n"


def run(**payload):
    return asyncio.run(run_chain(CSV_IMPORT, payload))


def test_good_rows_are_summed_up_and_bad_ones_told():
    chain = run(text=PEOPLE, required=["name"], numbers=["age"])

    assert chain.result["rows"] == 2
    assert chain.result["columns"]["age"] == {
        "filled": 2,
        "distinct": 2,
        "mean": 40.0,
        "max": 44.0,
    }
    assert chain.result["errors"] == [
        {"line": 3, "problems": ["age is no number: 'young'"]},
        {"line": 4, "problems": ["name is empty"]},
    ]
    messages = [message for message, _ in chain.contexts["check_rows"].logged]
    assert messages == ["line 3: age is no number: 'young'", "line 4: name is empty"]
    assert [piece["column"] for piece in chain.contexts["sum_up"].emitted] == ["name", "age"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found(delimiter):
    chain = run(text=PEOPLE.replace(",", delimiter), required=["name"])

    assert chain.result["rows"] == 3


def test_without_a_good_row_there_is_nothing_to_sum_up():
    chain = run(text="age\nold\n", numbers=["age"], delimiter=",")

    assert chain.succeeded
    assert chain.skipped == ["sum_up"]


def test_a_missing_column_is_final():
    chain = run(text=PEOPLE, numbers=["height"])

    assert chain.failure.code == "missing_column"
    assert chain.attempts == 1
