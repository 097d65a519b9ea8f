"""Dealing samples into training, validation and test so that no specimen is on two sides."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mineralseg.errors import ConfigurationError

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class SampleRow:
    """A row of samples.csv: a sample, the specimen it was cut from, and what a person said of it."""

    sample: str
    specimen: str
    part: Part | None = None
    pixel_size_um: float | None = None
    reference: str | None = None
    """The view on which the mask was drawn, if it is not the usual one."""


@dataclass(frozen=True)
class Split:
    """The part of every sample. Laws: every part has a sample; a specimen lies in one part."""

    part_of: dict[str, Part]
    specimen_of: dict[str, str]

    def __post_init__(self) -> None:
        parts_by_specimen: dict[str, set[str]] = defaultdict(set)
        for sample, part in self.part_of.items():
            parts_by_specimen[self.specimen_of[sample]].add(part)
        torn = {name: parts for name, parts in sorted(parts_by_specimen.items()) if len(parts) > 1}
        if torn:
            listed = "; ".join(f"{name} in {' and '.join(sorted(parts))}" for name, parts in torn.items())
            raise ConfigurationError(
                "split",
                found=f"specimens on two sides: {listed}",
                expected="every specimen on one side, or the score would be of rock that was trained on",
                fix="correct the column `split` or `specimen` of samples.csv",
            )
        for part in PARTS:
            if part not in self.part_of.values():
                raise ConfigurationError(
                    "split",
                    found=f"no sample for {part}, of {len(self.part_of)} samples",
                    expected="at least one sample in each of train, val and test",
                )

    def samples(self, part: Part) -> list[str]:
        """Return the samples of one part, by name."""
        return sorted(sample for sample, its_part in self.part_of.items() if its_part == part)


def split_by_fraction(
    rows: Sequence[SampleRow], *, val: float, test: float, rng: np.random.Generator
) -> Split:
    """Return a split in which whole specimens, in random order, fill test, then val, then train.

    Args:
        rows: the samples.
        val: wanted share of samples for validation.
        test: wanted share of samples for the test.
        rng: where the order of specimens comes from.

    Raises:
        ConfigurationError: there are fewer than three specimens.
    """
    groups = _by_specimen(rows)
    if len(groups) < len(PARTS):
        raise ConfigurationError(
            "split",
            found=f"{len(groups)} specimen(s)",
            expected="at least 3: one each for train, val and test",
            fix="add specimens; samples of one specimen are never separated",
        )
    names = sorted(groups)
    order = [names[i] for i in rng.permutation(len(names))]
    part_of: dict[str, Part] = {}
    wanted: tuple[tuple[Part, float], ...] = (("test", test * len(rows)), ("val", val * len(rows)))
    for place, (part, target) in enumerate(wanted):
        taken = 0
        must_leave = len(wanted) - place
        while len(order) > must_leave and (taken == 0 or taken + len(groups[order[0]]) <= target + 0.5):
            members = groups[order.pop(0)]
            part_of |= dict.fromkeys(members, part)
            taken += len(members)
    for specimen in order:
        part_of |= dict.fromkeys(groups[specimen], "train")
    return _split(rows, part_of)


def split_by_sample(rows: Sequence[SampleRow], *, val: Sequence[str], test: Sequence[str]) -> Split:
    """Return a split that holds out the named samples, each with its whole specimen."""
    known = {row.sample: row.specimen for row in rows}
    unknown = sorted({*val, *test} - set(known))
    if unknown:
        raise ConfigurationError(
            "split",
            found=f"held-out samples that do not exist: {', '.join(unknown)}",
            expected=f"names among {', '.join(sorted(known)[:20])}",
        )
    val_specimens, test_specimens = {known[s] for s in val}, {known[s] for s in test}
    both = sorted(val_specimens & test_specimens)
    if both:
        raise ConfigurationError(
            "split",
            found=f"specimens held out for val and for test: {', '.join(both)}",
            expected="every specimen on one side",
        )
    part_of: dict[str, Part] = {
        row.sample: "val"
        if row.specimen in val_specimens
        else "test"
        if row.specimen in test_specimens
        else "train"
        for row in rows
    }
    return _split(rows, part_of)


def split_by_manifest(rows: Sequence[SampleRow]) -> Split:
    """Return the split that the rows themselves state."""
    missing = [row.sample for row in rows if row.part is None]
    if missing:
        raise ConfigurationError(
            "samples.csv",
            found=f"no split given for {', '.join(missing[:20])}",
            expected="train, val or test in the column `split` of every sample",
        )
    return _split(rows, {row.sample: row.part for row in rows if row.part is not None})


def _by_specimen(rows: Sequence[SampleRow]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        groups[row.specimen].append(row.sample)
    return dict(groups)


def _split(rows: Sequence[SampleRow], part_of: dict[str, Part]) -> Split:
    return Split(part_of, {row.sample: row.specimen for row in rows})
