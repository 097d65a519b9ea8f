import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mineralseg.core.split import (
    PARTS,
    SampleRow,
    Split,
    split_by_fraction,
    split_by_manifest,
    split_by_sample,
)
from mineralseg.errors import ConfigurationError
from tests.laws import LAW

FRACTIONS = st.floats(0.01, 0.6)


@st.composite
def tables(draw: st.DrawFn) -> list[SampleRow]:
    sizes = draw(st.lists(st.integers(1, 6), min_size=3, max_size=12))
    rows = [
        SampleRow(f"s{rock}-{number}", f"rock {rock}")
        for rock, size in enumerate(sizes)
        for number in range(size)
    ]
    return draw(st.permutations(rows))


def _sides(split: Split, rows: list[SampleRow]) -> dict[str, set[str]]:
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row.specimen, set()).add(split.part_of[row.sample])
    return sides


@LAW
@given(rows=tables(), val=FRACTIONS, test=FRACTIONS, seed=st.integers(0, 2**32 - 1))
def test_no_specimen_is_on_two_sides_and_no_side_is_empty(
    rows: list[SampleRow], val: float, test: float, seed: int
) -> None:
    assume(val + test < 1)
    split = split_by_fraction(rows, val=val, test=test, rng=np.random.default_rng(seed))
    assert all(len(sides) == 1 for sides in _sides(split, rows).values())
    assert all(split.samples(part) for part in PARTS)
    assert sorted(s for part in PARTS for s in split.samples(part)) == sorted(row.sample for row in rows)


@LAW
@given(rows=tables(), seed=st.integers(0, 2**32 - 1))
def test_the_seed_alone_decides_whatever_the_order_of_rows(rows: list[SampleRow], seed: int) -> None:
    splits = [
        split_by_fraction(table, val=0.2, test=0.2, rng=np.random.default_rng(seed))
        for table in (rows, rows[::-1])
    ]
    assert splits[0].part_of == splits[1].part_of


def test_another_seed_deals_otherwise() -> None:
    rows = [SampleRow(f"s{n}", f"s{n}") for n in range(30)]
    dealt = {
        tuple(split_by_fraction(rows, val=0.2, test=0.2, rng=np.random.default_rng(seed)).samples("test"))
        for seed in range(10)
    }
    assert len(dealt) == 10


def test_shares_are_met_where_specimens_allow_it() -> None:
    rows = [SampleRow(f"s{n:03}", f"s{n:03}") for n in range(100)]
    split = split_by_fraction(rows, val=0.2, test=0.1, rng=np.random.default_rng(0))
    assert [len(split.samples(part)) for part in ("train", "val", "test")] == [70, 20, 10]


def test_two_specimens_are_not_enough() -> None:
    rows = [SampleRow(f"s{n}", f"rock {n % 2}") for n in range(10)]
    with pytest.raises(ConfigurationError, match=r"2 specimen\(s\); expected at least 3"):
        split_by_fraction(rows, val=0.2, test=0.2, rng=np.random.default_rng(0))


ROWS = [SampleRow(name, rock) for name, rock in zip("abcdef", "112233", strict=True)]


def test_a_held_out_sample_takes_its_whole_specimen_along() -> None:
    split = split_by_sample(ROWS, val=["c"], test=["f"])
    assert split.part_of == {"a": "train", "b": "train", "c": "val", "d": "val", "e": "test", "f": "test"}


def test_hold_outs_must_exist() -> None:
    with pytest.raises(ConfigurationError, match="do not exist: x, y; expected names among a, b"):
        split_by_sample(ROWS, val=["y"], test=["x"])


def test_hold_outs_may_not_tear_a_specimen() -> None:
    with pytest.raises(ConfigurationError, match="held out for val and for test: 2"):
        split_by_sample(ROWS, val=["c"], test=["d"])


def test_hold_outs_leave_something_to_train_on() -> None:
    with pytest.raises(ConfigurationError, match="no sample for train, of 6 samples"):
        split_by_sample(ROWS, val=["a", "c"], test=["f"])


def _stated(parts: str) -> list[SampleRow]:
    names = {"r": "train", "v": "val", "t": "test", "-": None}
    return [
        SampleRow(row.sample, row.specimen, names[part])  # type: ignore[arg-type]
        for row, part in zip(ROWS, parts, strict=True)
    ]


def test_a_manifest_is_followed() -> None:
    assert split_by_manifest(_stated("rrvvtt")).samples("val") == ["c", "d"]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ("rrvttt", "specimens on two sides: 2 in test and val"),
        ("rrvv--", "no split given for e, f"),
        ("rrrrvv", "no sample for test"),
    ],
)
def test_a_manifest_that_cannot_be_followed_is_refused(parts: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        split_by_manifest(_stated(parts))
