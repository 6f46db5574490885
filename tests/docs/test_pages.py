"""The reader of the documentation itself: it must see what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import blocks, commands, matches


def test_a_page_is_read_block_by_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('a\n```toml title="x/y.toml"\nz = 1\n```\nb\n```console\n$ ls\n```\n')

    first, second = blocks(page)

    assert (first.language, first.title, first.text, first.line) == (
        "toml",
        "x/y.toml",
        "z = 1\n",
        2,
    )
    assert (second.language, second.title) == ("console", None)


def test_commands_go_on_and_say_what_they_print(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ one \\\n>   two\nprinted\n\nmore\n$ three\n```\n")

    first, second = commands(next(iter(blocks(page))))

    assert (first.text, first.expected) == ("one \\\ntwo", ["printed", "", "more"])
    assert (second.text, second.expected) == ("three", [])


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ([], "anything", True),
        (["a…c"], "abbc\n", True),
        (["a", "…", "z"], "a\nb\nc\nz\n", True),
        (["a"], "ab", False),
        (["…b"], "ac", False),
        (["a.c"], "abc", False),
    ],
)
def test_what_is_printed_is_compared(expected: list[str], printed: str, same: bool) -> None:
    assert matches(expected, printed) is same
