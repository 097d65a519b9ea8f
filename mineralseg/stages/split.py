"""Split: deal the samples into training, validation and test, specimen by specimen."""

from collections.abc import Collection
from typing import Any

import numpy as np

from mineralseg.config.data import SplitByFraction, SplitByManifest, SplitBySample
from mineralseg.config.params import Params
from mineralseg.core.progress import Progress
from mineralseg.core.split import (
    PARTS,
    SampleRow,
    Split,
    split_by_fraction,
    split_by_manifest,
    split_by_sample,
)
from mineralseg.errors import ConfigurationError
from mineralseg.io.files import write_json
from mineralseg.io.tables import read_samples
from mineralseg.stages.accepted import accepted_samples
from mineralseg.stages.manifest import read_manifest, write_split
from mineralseg.stages.workspace import Workspace


def split_samples(params: Params, workspace: Workspace, *, progress: Progress) -> dict[str, Any]:
    """Write data/splits.json and return the stage's report.

    Raises:
        ConfigurationError: a part is empty, or a specimen would lie in two parts.
    """
    ingested = read_manifest(workspace.manifest)
    labelled = accepted_samples(workspace.labels)
    rows = [row for row in read_samples(workspace.samples_file) if row.sample in labelled]
    dropped = sorted({slide.sample for slide in ingested} - labelled)
    if not rows:
        raise ConfigurationError(
            "split",
            found=f"no sample left: {', '.join(dropped)} were left out when views or maps were aligned",
            expected="samples in each of train, val and test",
            fix="look at reports/alignment/index.html and reports/labelling/index.html",
        )
    _require_held_out(params, dropped)
    split = deal(params, rows)
    write_split(workspace.splits, split)
    report: dict[str, Any] = {part: len(split.samples(part)) for part in PARTS}
    progress("split: " + ", ".join(f"{number} {part}" for part, number in report.items()))
    write_json(workspace.report("split"), report)
    return report


def _require_held_out(params: Params, dropped: Collection[str]) -> None:
    """Make sure that no sample which is to be held out by name was left out before."""
    if isinstance(params.split, SplitBySample):
        missing = sorted(set(dropped) & {*params.split.val, *params.split.test})
        if missing:
            raise ConfigurationError(
                "split",
                found=f"{', '.join(missing)} held out by name, but left out when views or maps were aligned",
                expected="samples that were aligned",
                fix="name others in split.val and split.test, or mend the alignment of these",
            )


def deal(params: Params, rows: list[SampleRow]) -> Split:
    """Return the split that `params.split` asks for.

    Raises:
        ConfigurationError: it cannot be, or samples.csv states parts that this kind would pass over.
    """
    stated = [row.sample for row in rows if row.part is not None]
    if stated and not isinstance(params.split, SplitByManifest):
        raise ConfigurationError(
            "split.kind",
            found=f"{params.split.kind}, while samples.csv states a split for {', '.join(stated[:20])}",
            expected="one place that decides",
            fix="set split.kind: fixed_manifest, or empty the column `split`",
        )
    match params.split:
        case SplitByFraction(val=val, test=test):
            return split_by_fraction(rows, val=val, test=test, rng=np.random.default_rng(params.project.seed))
        case SplitBySample(val=val, test=test):
            return split_by_sample(rows, val=val, test=test)
        case SplitByManifest():
            return split_by_manifest(rows)
