"""Tables: aligned, and no wider than the terminal as long as text columns can give."""

from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.cli.table import Column, render_table
from chronoprof_sidecar.cli.text import width_of

COLUMNS = (Column("NAME", numeric=False), Column("CALLS"))


def test_numbers_are_aligned_to_the_right_and_names_to_the_left() -> None:
    """The last figures stand below each other, wide characters or not."""
    lines = render_table(COLUMNS, [["a", "5"], ["日本語", "12345"]], None).split("\n")

    assert lines == ["NAME    CALLS", "a           5", "日本語  12345"]


def test_only_names_are_shortened() -> None:
    """Where the terminal is too narrow, numbers stay whole."""
    table = render_table(COLUMNS, [["GET /api/v1/profiling/data", "1234567"]], 22)

    assert table.split("\n")[1] == "GET /a…g/data  1234567"


def test_without_a_terminal_nothing_is_shortened() -> None:
    """A file or a pipe has no width, and whoever reads it wants whole names."""
    assert "x" * 512 in render_table(COLUMNS, [["x" * 512, "1"]], None)


def test_one_long_name_does_not_push_all_figures_away() -> None:
    """In a file a name beyond 80 cells sticks out; the others stay aligned beside their figures."""
    lines = render_table(COLUMNS, [["a", "5"], ["b" * 80, "6"], ["c" * 512, "7"]], None).split("\n")

    assert [87, 87, 87] == [len(line) for line in lines[:3]]
    assert lines[3] == "c" * 512 + "      7"


@given(
    st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["C"]), max_size=90)] * 2), max_size=5),
    st.integers(40, 120),
)
def test_every_line_fits_the_terminal(names: list[tuple[str, str]], max_width: int) -> None:
    """However long the texts of several columns are, no line is wider than the terminal."""
    columns = (Column("A", numeric=False), Column("B", numeric=False), Column("N"))

    table = render_table(columns, [[*pair, "1234567"] for pair in names], max_width)

    assert max(map(width_of, table.split("\n"))) <= max_width
    assert table.count("\n") == len(names)


def test_a_terminal_narrower_than_the_minimum_still_shows_something() -> None:
    """Text columns keep eight cells; the terminal may wrap the rest."""
    assert render_table(COLUMNS, [["x" * 30, "1"]], 3).split("\n")[1] == "xxxx…xxx      1"
