"""What a table of colours or codes may say, and that all its faults are told together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mineralseg.core.class_table import NOT_USED, ClassTable, Entry, TableRow, hex_of
from mineralseg.core.legend import IGNORE, Legend, Mineral
from mineralseg.errors import ConfigurationError

LEGEND = Legend.of(
    [Mineral(7, "Quartz", "#78b4ff"), Mineral(3, "pore", "#000000"), Mineral(20, "K-feldspar", "#ff8040")]
)
SOURCE = "table.csv"
COLORS = st.tuples(*[st.integers(0, 255)] * 3)
CODES = st.integers(0, 255)


def row(
    key: tuple[int, int, int] | int, mineral: str, class_name: str | None = None, line: int = 2
) -> TableRow:
    return TableRow(line, key, mineral, class_name)


def table_of(*rows: TableRow) -> ClassTable:
    return ClassTable.of(rows, LEGEND, source=SOURCE)


def refusal_of(*rows: TableRow) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        table_of(*rows)
    assert caught.value.subject == SOURCE
    assert caught.value.fix
    return caught.value


def test_a_legend_gives_its_own_colors_by_index() -> None:
    table = ClassTable.colors_of(LEGEND, source=SOURCE)
    assert table.source == SOURCE
    assert table.entries == (
        Entry((0, 0, 0), "pore", 0),
        Entry((0x78, 0xB4, 0xFF), "Quartz", 1),
        Entry((0xFF, 0x80, 0x40), "K-feldspar", 2),
    )


def test_a_legend_gives_its_own_codes_and_255_is_no_label() -> None:
    table = ClassTable.codes_of(LEGEND, source=SOURCE)
    assert [(entry.key, entry.index) for entry in table.entries] == [(3, 0), (7, 1), (20, 2), (255, IGNORE)]


def test_a_mineral_is_a_class_by_its_own_name_or_by_what_the_table_says() -> None:
    table = table_of(row(1, "pore"), row(2, "chalcedony", "Quartz"), row(4, "opal", "Quartz"))
    assert table.entries == (Entry(1, "pore", 0), Entry(2, "chalcedony", 1), Entry(4, "opal", 1))


@pytest.mark.parametrize("name", ["quartz", "QUARTZ", "Quartz", "  quartz\t"])
def test_case_and_blanks_around_a_class_do_not_count(name: str) -> None:
    assert table_of(row(1, name)).entries[0].index == 1
    assert table_of(row(1, "silica", name)).entries[0].index == 1


@pytest.mark.parametrize("word", [*NOT_USED, "VOID", " Not Used "])
def test_words_for_no_class_give_no_label(word: str) -> None:
    [entry] = table_of(row((1, 2, 3), "zircon", word)).entries
    assert entry == Entry((1, 2, 3), "zircon", IGNORE)
    assert table_of(row(0, word)).entries[0].index == IGNORE


def test_an_empty_class_is_no_class_though_the_mineral_is_one() -> None:
    assert table_of(row(1, "quartz", "")).entries[0].index == IGNORE


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ((1, 2, 255), (1, 2, 255), "colour #0102ff"),
        (9, 9, "code 9"),
    ],
)
def test_a_key_that_stands_twice_is_told_with_both_lines(
    first: tuple[int, int, int] | int, second: tuple[int, int, int] | int, told: str
) -> None:
    error = refusal_of(row(first, "quartz", line=4), row(second, "pore", line=9))
    assert f"{told} stands for 'quartz' in line 4 and for 'pore' in line 9" in error.found


def test_a_key_twice_is_a_fault_even_with_the_same_class() -> None:
    assert "code 1" in refusal_of(row(1, "quartz", line=2), row(1, "quartz", line=3)).found


def test_a_key_three_times_is_told_against_the_first_line() -> None:
    found = refusal_of(*(row(1, "quartz", line=line) for line in (2, 5, 8))).found
    assert found.count("in line 2") == 2
    assert "line 5" in found
    assert "line 8" in found


def test_an_unknown_class_is_told_with_its_line_and_the_classes_there_are() -> None:
    error = refusal_of(row(1, "quartz"), row(2, "opal", line=3), row(4, "pore", "glass", line=4))
    assert (
        error.found == "line 3: 'opal' is no class of the legend; line 4: 'glass' is no class of the legend"
    )
    assert "pore, Quartz, K-feldspar" in error.expected
    assert "column `class`" in error.fix


def test_faults_of_keys_and_of_classes_are_told_together() -> None:
    found = refusal_of(row(1, "quartz", line=2), row(1, "pore", line=3), row(2, "opal", line=4)).found
    assert "code 1" in found
    assert "'opal'" in found


def test_no_row_is_refused() -> None:
    assert refusal_of().found == "no row"


@pytest.mark.parametrize(("faults", "more"), [(20, None), (21, "and 1 more"), (5000, "and 4980 more")])
def test_many_faults_make_no_endless_message(faults: int, more: str | None) -> None:
    found = refusal_of(*(row(n, "opal", line=n + 2) for n in range(faults))).found
    assert found.count("'opal'") == 20
    assert len(found) < 2000
    assert found.endswith(more) if more else "more" not in found


def test_rows_may_come_as_a_stream() -> None:
    rows = (row(n, name) for n, name in enumerate(["quartz", "pore"]))
    assert [entry.index for entry in ClassTable.of(rows, LEGEND, source=SOURCE).entries] == [1, 0]


@given(st.lists(st.tuples(COLORS | CODES, st.sampled_from(["quartz", "PORE", "void", "opal"])), max_size=12))
def test_no_key_stands_twice_and_every_class_is_of_the_legend(
    drawn: list[tuple[tuple[int, int, int] | int, str]],
) -> None:
    index_of = {"quartz": 1, "PORE": 0, "void": IGNORE}
    keys = [key for key, _ in drawn]
    rows = [row(key, name, line=line) for line, (key, name) in enumerate(drawn, 2)]
    if rows and len(set(keys)) == len(keys) and all(name in index_of for _, name in drawn):
        entries = table_of(*rows).entries
        assert [(entry.key, entry.index) for entry in entries] == [(k, index_of[n]) for k, n in drawn]
    else:
        refusal_of(*rows)


def test_plain_rows_hold_what_decides_and_nothing_else() -> None:
    by_color = table_of(row((1, 2, 3), "quartz"), row((4, 5, 6), "zircon", "void"))
    assert by_color.to_rows() == [[[1, 2, 3], 1], [[4, 5, 6], IGNORE]]
    renamed = ClassTable.of([row(1, "silica", "quartz", line=7)], LEGEND, source="elsewhere.csv")
    assert renamed.to_rows() == table_of(row(1, "quartz")).to_rows() == [[1, 1]]


@given(COLORS)
def test_a_color_is_written_as_six_digits(rgb: tuple[int, int, int]) -> None:
    written = hex_of(rgb)
    assert len(written) == 7
    assert Mineral(0, "x", written).rgb == rgb
