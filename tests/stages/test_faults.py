"""Everything that is wrong with a workspace is told at once, each with the name of its sample."""

import shutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mineralseg.core.progress import silent
from mineralseg.errors import ConfigurationError, DataFaults
from mineralseg.io.raster import read_mask
from mineralseg.io.tables import read_samples, write_samples
from mineralseg.stages.check import check_workspace
from mineralseg.stages.ingest import ingest_slides
from mineralseg.stages.workspace import Workspace
from tests.workspaces import SAMPLES, SIZE_PX, change_params, edit_samples, raw_image, raw_mask, write_tiff


def drop_view(workspace: Workspace) -> None:
    raw_image(workspace, "S01a", "XPL45").unlink()


def drop_sample(workspace: Workspace) -> None:
    shutil.rmtree(workspace.raw / "S01b")


def rename_by_case(workspace: Workspace) -> None:
    (workspace.raw / "S02a").rename(workspace.raw / "s02A")


def shrink_mask(workspace: Workspace) -> None:
    write_tiff(raw_mask(workspace, "S02b"), np.zeros((SIZE_PX, SIZE_PX - 1), np.uint8))


def unknown_code(workspace: Workspace) -> None:
    mask = read_mask(raw_mask(workspace, "S03a"))
    mask[5, 5:8] = 77
    write_tiff(raw_mask(workspace, "S03a"), mask)


def unreadable(workspace: Workspace) -> None:
    raw_image(workspace, "S03b").write_bytes(b"II*\0 and then nothing")


def no_mask(workspace: Workspace) -> None:
    raw_mask(workspace, "S01a").unlink()


def two_masks(workspace: Workspace) -> None:
    shutil.copy(raw_mask(workspace, "S02a"), raw_mask(workspace, "S02a").with_name("mask_2.tif"))


def view_twice(workspace: Workspace) -> None:
    shutil.copy(raw_image(workspace, "S02b"), raw_image(workspace, "S02b").with_name("again_PPL.tif"))


def nameless_view(workspace: Workspace) -> None:
    shutil.copy(raw_image(workspace, "S02b"), raw_image(workspace, "S02b").with_name("photo.tif"))


def unlisted(workspace: Workspace) -> None:
    edit_samples(workspace, without="S03b")


def grey_view(workspace: Workspace) -> None:
    write_tiff(raw_image(workspace, "S03a"), np.zeros((SIZE_PX, SIZE_PX), np.uint8))


def cut_short(workspace: Workspace) -> None:
    """A file whose header is sound and whose pixels are not all there, as after an interrupted copy."""
    path = raw_image(workspace, "S01b")
    path.write_bytes(path.read_bytes()[:-2000])


FAULTS: list[tuple[Callable[[Workspace], None], str, str]] = [
    (drop_view, "sample S01a", "view XPL45 is missing"),
    (drop_sample, "sample S01b", "no such folder"),
    (rename_by_case, "sample S02a", "the folder is called s02A"),
    (shrink_mask, "sample S02b", f"label is {SIZE_PX - 1} x {SIZE_PX} px"),
    (unknown_code, "S03a", "77 (3 px)"),
    (unreadable, "S03b", "PPL.tif"),
    (no_mask, "sample S01a", "no mask in label/"),
    (two_masks, "sample S02a", "2 masks in label/"),
    (view_twice, "sample S02b", "PPL is there 2 times"),
    (nameless_view, "photo.tif", "without an illumination"),
    (unlisted, "sample S03b", "not in samples.csv"),
    (grey_view, "sample S03a", "PPL has 1 band(s)"),
    (cut_short, "S01b", "PPL.tif"),
]


@pytest.mark.parametrize(("spoil", "subject", "found"), FAULTS, ids=[spoil.__name__ for spoil, *_ in FAULTS])
def test_a_fault_is_told_with_its_sample_and_no_manifest_is_written(
    raw_workspace: Workspace, spoil: Callable[[Workspace], None], subject: str, found: str
) -> None:
    spoil(raw_workspace)
    with pytest.raises(DataFaults) as caught:
        ingest_slides(raw_workspace.params(), raw_workspace, progress=silent)
    [fault] = caught.value.faults
    assert subject in fault.subject
    assert found in str(fault)
    assert not raw_workspace.manifest.exists()


def test_all_faults_are_told_at_once(raw_workspace: Workspace) -> None:
    chosen = [FAULTS[number] for number in (0, 1, 2, 3, 4, 5)]
    for spoil, *_ in chosen:
        spoil(raw_workspace)
    result = check_workspace(raw_workspace.root, progress=silent)
    assert result.samples == 1  # the folder that is only called otherwise is sound in itself
    for _, subject, found in chosen:
        assert [f for f in result.faults if subject in f.subject and found in str(f)], (subject, found)
    assert len(result.faults) == len(chosen)


def test_a_sound_workspace_has_no_fault(raw_workspace: Workspace) -> None:
    result = check_workspace(raw_workspace.root, progress=silent)
    assert (result.samples, result.faults) == (len(SAMPLES), ())


def test_check_writes_nothing_a_stage_makes(raw_workspace: Workspace) -> None:
    check_workspace(raw_workspace.root, progress=silent)
    assert sorted(path.name for path in (raw_workspace.root / "data").iterdir()) == ["raw"]
    assert not (raw_workspace.root / "reports").exists()


def test_a_missing_legend_is_a_fault_beside_the_others(raw_workspace: Workspace) -> None:
    raw_workspace.legend_file.unlink()
    change_params(raw_workspace, {"split": {"kind": "sample_holdout", "val": ["S01a"], "test": ["S99"]}})
    faults = check_workspace(raw_workspace.root, progress=silent).faults
    assert [f for f in faults if "legend.yaml" in f.subject and f.found == "no such file"]
    assert [f for f in faults if f.subject == "split" and "S99" in f.found]


def test_overlapping_splits_are_a_fault(raw_workspace: Workspace) -> None:
    change_params(raw_workspace, {"split": {"kind": "sample_holdout", "val": ["S01a"], "test": ["S01b"]}})
    [fault] = check_workspace(raw_workspace.root, progress=silent).faults
    assert "held out for val and for test: S01" in fault.found


def test_a_torn_specimen_in_a_fixed_manifest_is_a_fault(raw_workspace: Workspace) -> None:
    change_params(raw_workspace, {"split": {"kind": "fixed_manifest"}})
    parts = ["train", "val", "train", "train", "test", "test"]
    lines = [f"{name},{name[:-1]},{part},1.5" for name, part in zip(SAMPLES, parts, strict=True)]
    raw_workspace.samples_file.write_text("\n".join(["sample,specimen,split,pixel_size_um", *lines]))
    [fault] = check_workspace(raw_workspace.root, progress=silent).faults
    assert "S01 in train and val" in fault.found


def test_a_torn_specimen_is_told_beside_samples_without_a_part(raw_workspace: Workspace) -> None:
    change_params(raw_workspace, {"split": {"kind": "fixed_manifest"}})
    first, second, *others = read_samples(raw_workspace.samples_file)
    assert first.specimen == second.specimen
    write_samples(
        raw_workspace.samples_file, [replace(first, part="train"), replace(second, part="test"), *others]
    )
    told = [str(fault) for fault in check_workspace(raw_workspace.root, progress=silent).faults]
    assert any(f"no split given for {others[0].sample}" in fault for fault in told)
    assert any(f"two sides: {first.specimen} in test and train" in fault for fault in told)


def test_a_workspace_made_with_another_mineralseg_says_how_to_accept_this_one(
    raw_workspace: Workspace,
) -> None:
    raw_workspace.code_file.write_text("ingest: 0\n")
    [fault] = check_workspace(raw_workspace.root, progress=silent).faults
    assert "another version of mineralseg" in fault.found
    assert "--refresh-code" in fault.fix


def test_wrong_parameters_are_told_all_together(raw_workspace: Workspace) -> None:
    text = raw_workspace.params_file.read_text()
    text = text.replace("epochs: 2", "epochs: 0").replace("  threads: 1", "  treads: 1")
    raw_workspace.params_file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        check_workspace(raw_workspace.root, progress=silent)
    for told in ("train.epochs", "train.threads: missing", "did you mean 'threads'"):
        assert told in str(caught.value)


def test_one_rock_under_two_names_is_a_fault(raw_workspace: Workspace) -> None:
    shutil.copy(raw_image(raw_workspace, "S01a"), raw_image(raw_workspace, "S03a"))
    rows = read_samples(raw_workspace.samples_file)
    write_samples(
        raw_workspace.samples_file,
        [replace(row, specimen="s02") if row.sample == "S02b" else row for row in rows],
    )
    told = [str(fault) for fault in check_workspace(raw_workspace.root, progress=silent).faults]
    assert any("S03a: PPL is the very image of sample S01a" in fault for fault in told)
    assert any("S02b: specimen s02, and S02 elsewhere" in fault for fault in told)


def test_a_stated_split_is_not_passed_over(raw_workspace: Workspace) -> None:
    first, *others = read_samples(raw_workspace.samples_file)
    write_samples(raw_workspace.samples_file, [replace(first, part="test"), *others])
    [fault] = check_workspace(raw_workspace.root, progress=silent).faults
    assert f"samples.csv states a split for {first.sample}" in fault.found
