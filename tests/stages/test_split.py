"""The kinds of split, as the stage writes them."""

from pathlib import Path
from typing import Any

import pytest

from mineralseg.core.progress import silent
from mineralseg.core.split import PARTS
from mineralseg.errors import ConfigurationError
from mineralseg.io.files import read_json
from mineralseg.io.tables import read_samples
from mineralseg.stages.manifest import read_split
from mineralseg.stages.split import split_samples
from mineralseg.stages.workspace import Workspace
from tests.workspaces import SAMPLES, change_params, make_slides, make_workspace, prepare


def parts_of(workspace: Workspace, split: dict[str, Any], **changes: object) -> dict[str, list[str]]:
    params = change_params(workspace, {"split": split, **changes})
    report = split_samples(params, workspace, progress=silent)
    written = read_split(workspace.splits)
    parts: dict[str, list[str]] = {part: written.samples(part) for part in PARTS}
    assert (
        report
        == {part: len(samples) for part, samples in parts.items()}
        == read_json(workspace.report("split"))
    )
    return parts


def test_fractions_keep_specimens_whole_and_follow_the_seed(prepared: Workspace) -> None:
    split = {"kind": "fraction", "val": 0.3, "test": 0.3}
    seen = set()
    for seed in range(6):
        parts = parts_of(prepared, split, **{"project.seed": seed})
        assert sorted(name for samples in parts.values() for name in samples) == SAMPLES
        assert all(len({name[:-1] for name in samples}) == 1 for samples in parts.values())
        assert parts == parts_of(prepared, split, **{"project.seed": seed})
        seen.add(tuple(parts["test"]))
    assert len(seen) > 1


def test_held_out_samples_take_their_specimen_along(prepared: Workspace) -> None:
    parts = parts_of(prepared, {"kind": "sample_holdout", "val": ["S02b"], "test": ["S03a"]})
    assert parts == {"train": ["S01a", "S01b"], "val": ["S02a", "S02b"], "test": ["S03a", "S03b"]}


def test_a_fixed_manifest_is_taken_as_it_is(prepared: Workspace) -> None:
    lines = ["sample,specimen,split,pixel_size_um"]
    wanted = {"S01a": "test", "S01b": "test", "S02a": "val", "S02b": "val", "S03a": "train", "S03b": "train"}
    lines += [f"{name},{name[:-1]},{part},1.5" for name, part in wanted.items()]
    prepared.samples_file.write_text("\n".join(lines))
    parts = parts_of(prepared, {"kind": "fixed_manifest"})
    assert {name: part for part, samples in parts.items() for name in samples} == wanted


def test_a_fixed_manifest_with_gaps_is_refused(prepared: Workspace) -> None:
    assert {row.part for row in read_samples(prepared.samples_file)} == {None}
    with pytest.raises(ConfigurationError, match="no split given for S01a"):
        parts_of(prepared, {"kind": "fixed_manifest"})


def test_two_specimens_are_too_few(tmp_path: Path) -> None:
    make_slides(tmp_path / "slides", samples=3, size_px=64)
    workspace = make_workspace(tmp_path / "ws", tmp_path / "slides")
    with pytest.raises(ConfigurationError, match="at least 3"):
        prepare(workspace)
