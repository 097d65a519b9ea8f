"""Ingest, align and label redo the samples whose inputs changed, and no others."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mineralseg.core.progress import silent
from mineralseg.errors import DataFault, DataFaults
from mineralseg.io.files import read_json
from mineralseg.io.raster import read_mask
from mineralseg.io.tables import read_legend, read_samples, write_legend, write_samples
from mineralseg.stages.align import align_slides
from mineralseg.stages.ingest import ingest_slides
from mineralseg.stages.label import decode_labels
from mineralseg.stages.manifest import read_manifest
from mineralseg.stages.workspace import Workspace
from tests.workspaces import (
    PIXEL_SIZE_UM,
    SAMPLES,
    SIZE_PX,
    darken,
    edit_samples,
    prepare,
    raw_image,
    raw_mask,
    write_tiff,
)

PER_SAMPLE = ("ingest", "align", "label")
NOTHING: dict[str, list[str]] = {stage: [] for stage in PER_SAMPLE}


def redone(workspace: Workspace) -> dict[str, list[str]]:
    """Run the stages again and return what each redid; all others must be reported as reused."""
    prepare(workspace)
    reports = {stage: read_json(workspace.report(stage)) for stage in PER_SAMPLE}
    for report in reports.values():
        assert sorted(report["redone"] + report["reused"]) == [
            s.sample for s in read_manifest(workspace.manifest)
        ]
        assert report["samples"] == len(report["redone"]) + len(report["reused"])
    return {stage: report["redone"] for stage, report in reports.items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_first_run_makes_every_sample(raw_workspace: Workspace) -> None:
    assert redone(raw_workspace) == dict.fromkeys(PER_SAMPLE, SAMPLES)


def test_a_second_run_makes_none_and_changes_no_byte(prepared: Workspace) -> None:
    before = contents(prepared.root / "data")
    assert redone(prepared) == NOTHING
    assert contents(prepared.root / "data") == before


def test_the_manifest_says_what_there_is(prepared: Workspace) -> None:
    for slide in read_manifest(prepared.manifest):
        assert (slide.height, slide.width) == (SIZE_PX, SIZE_PX)
        assert slide.specimen == slide.sample[:-1]
        assert slide.pixel_size.um == PIXEL_SIZE_UM
        assert {name: image.bands for name, image in slide.views.items()} == {"PPL": 3, "XPL45": 3}


def test_a_changed_image_is_aligned_again_and_nothing_else(prepared: Workspace) -> None:
    darken(raw_image(prepared, "S02a"))
    assert redone(prepared) == {"ingest": ["S02a"], "align": ["S02a"], "label": []}


def test_a_changed_mask_is_labelled_again_and_nothing_else(prepared: Workspace) -> None:
    shutil.copyfile(raw_mask(prepared, "S03a"), raw_mask(prepared, "S02b"))
    assert redone(prepared) == {"ingest": ["S02b"], "align": [], "label": ["S02b"]}


def test_a_sample_that_is_gone_leaves_nothing_behind(prepared: Workspace) -> None:
    shutil.rmtree(prepared.raw / "S01b")
    edit_samples(prepared, without="S01b")
    assert redone(prepared) == NOTHING
    left = [name for name in SAMPLES if name != "S01b"]
    assert sorted(path.name for path in prepared.aligned.iterdir() if path.is_dir()) == left
    assert sorted(path.name for path in prepared.labels.iterdir() if path.is_dir()) == left


@pytest.mark.parametrize("damage", ["cut", "changed", "removed", "record cut", "record of another kind"])
def test_a_damaged_output_is_made_again_byte_for_byte(prepared: Workspace, damage: str) -> None:
    sound = contents(prepared.aligned)
    file, record = prepared.aligned / "S02a" / "XPL45.tif", prepared.aligned / "S02a" / "record.json"
    match damage:
        case "cut":
            file.write_bytes(file.read_bytes()[:-100])
        case "changed":
            file.write_bytes(file.read_bytes()[:-1] + b"?")
        case "removed":
            file.unlink()
        case "record cut":
            record.write_bytes(record.read_bytes()[:40])
        case _:
            record.write_text('["neither", "key", "nor", "files"]')
    report = align_slides(prepared.params(), prepared, progress=silent)
    assert report["redone"] == ["S02a"]
    assert contents(prepared.aligned) == sound


def test_a_damaged_memory_of_ingest_is_made_again(prepared: Workspace) -> None:
    (prepared.private / "inspected" / "S01a.json").write_text('{"key": ')
    assert redone(prepared)["ingest"] == ["S01a"]
    assert redone(prepared)["ingest"] == []


def test_another_legend_labels_all_samples_again_and_aligns_none(prepared: Workspace) -> None:
    legend = read_legend(prepared.legend_file)
    renamed = prepared.legend_file.read_text().replace("name: quartz", "name: chert")
    prepared.legend_file.write_text(renamed)
    assert read_legend(prepared.legend_file) != legend
    assert redone(prepared) == {"ingest": SAMPLES, "align": [], "label": SAMPLES}


def test_labels_are_indices_where_masks_are_codes(prepared: Workspace) -> None:
    """With other codes on disk, the same masks in these codes give the same labels."""
    before = {name: (prepared.labels / name / "label.tif").read_bytes() for name in SAMPLES}
    legend = read_legend(prepared.legend_file)
    recoded = type(legend)(
        tuple(type(m)(m.code + 40, m.name, m.color, m.density_g_cm3) for m in legend.minerals)
    )
    write_legend(prepared.legend_file, recoded)
    with pytest.raises(DataFaults, match="codes that are not in the legend"):
        ingest_slides(prepared.params(), prepared, progress=silent)
    for name in SAMPLES:
        write_tiff(raw_mask(prepared, name), read_mask(raw_mask(prepared, name)) + 40)
    assert redone(prepared) == {"ingest": SAMPLES, "align": [], "label": SAMPLES}
    assert {name: (prepared.labels / name / "label.tif").read_bytes() for name in SAMPLES} == before


def test_samples_that_fail_do_not_keep_others_from_being_made(prepared: Workspace) -> None:
    for name in ("S01a", "S03b"):
        shutil.rmtree(prepared.aligned / name)
        raw_image(prepared, name).write_bytes(b"no image")
    shutil.rmtree(prepared.aligned / "S02a")
    with pytest.raises(DataFaults) as caught:
        align_slides(prepared.params(), prepared, progress=silent)
    assert len(caught.value.faults) == 2
    assert (prepared.aligned / "S02a" / "record.json").is_file()
    assert not (prepared.aligned / "S01a" / "record.json").exists()


def test_a_manifest_without_samples_trains_nothing(prepared: Workspace) -> None:
    prepared.manifest.write_text('{"samples": []}')
    with pytest.raises(DataFault, match="no sample"):
        decode_labels(prepared.params(), prepared, progress=silent)
    prepared.manifest.write_text('{"samples": [{"sample": 3}]}')
    with pytest.raises(DataFault, match="expected a slide"):
        decode_labels(prepared.params(), prepared, progress=silent)


def test_a_damaged_label_is_made_again(prepared: Workspace) -> None:
    file = prepared.labels / "S01a" / "label.tif"
    sound = file.read_bytes()
    file.write_bytes(b"")
    assert decode_labels(prepared.params(), prepared, progress=silent)["redone"] == ["S01a"]
    assert file.read_bytes() == sound


def test_an_image_called_like_its_mask_is_still_seen_to_change(prepared: Workspace) -> None:
    image = raw_image(prepared, "S01a")
    twin = raw_mask(prepared, "S01a")
    image.rename(image.with_name("S01a_PPL.tif"))
    twin.rename(twin.with_name("S01a_PPL.tif"))
    assert redone(prepared)["ingest"] == ["S01a"]
    darken(image.with_name("S01a_PPL.tif"))
    assert redone(prepared) == {"ingest": ["S01a"], "align": ["S01a"], "label": []}


def test_another_pixel_size_is_written_into_views_and_labels(prepared: Workspace) -> None:
    first, *others = read_samples(prepared.samples_file)
    write_samples(prepared.samples_file, [replace(first, pixel_size_um=PIXEL_SIZE_UM / 3), *others])
    assert redone(prepared) == {stage: [first.sample] for stage in PER_SAMPLE}
