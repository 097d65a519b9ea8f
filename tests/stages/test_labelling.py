"""Masks become classes on the grid of the views: by codes, by colours, or from a coarse map."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mineralseg.core.geometry import PixelSize
from mineralseg.core.legend import IGNORE, Legend
from mineralseg.core.progress import silent
from mineralseg.core.slide import Illumination
from mineralseg.errors import ConfigurationError, DataFaults, Refused
from mineralseg.imaging.render import colorize
from mineralseg.io.files import read_json
from mineralseg.io.raster import read_mask
from mineralseg.io.raster_writer import RasterSpec, raster_writer, write_png
from mineralseg.io.tables import read_legend, read_samples, write_samples
from mineralseg.stages.align import align_slides
from mineralseg.stages.ingest import ingest_slides
from mineralseg.stages.label import decode_labels
from mineralseg.stages.synth import SlidePlan, synthesise_slides
from mineralseg.stages.workspace import Workspace
from tests.workspaces import SAMPLES, SIZE_PX, change_params, copy_of, make_workspace, raw_mask

ON_GRID = {"kind": "on_grid"}
MAP_PIXEL_UM = 10.0
PIXEL_UM = 3.5
MAP = {
    "kind": "coarse_map",
    "map_pixel_um": MAP_PIXEL_UM,
    "flips": True,
    "max_rotation_deg": 5.0,
    "max_scale_change": 0.03,
    "refine": "bspline",
    "min_peak_ratio": 2.0,
    "max_residual_map_px": 1.5,
    "min_area_map_px": 2,
    "void_band": 1.0,
    "when_refused": "stop",
}
COLORS = {"kind": "colors", "table": None, "tolerance": 0, "max_unmapped_percent": 0.0}


def label(workspace: Workspace) -> dict[str, object]:
    params = workspace.params()
    for stage in (ingest_slides, align_slides, decode_labels):
        report = stage(params, workspace, progress=silent)
    return report


def legend_of(workspace: Workspace) -> Legend:
    return read_legend(workspace.legend_file)


def truth_of(workspace: Workspace, sample: str) -> NDArray[np.uint8]:
    return legend_of(workspace).decode(read_mask(raw_mask(workspace, sample)))


def made(workspace: Workspace, sample: str) -> NDArray[np.uint8]:
    return read_mask(workspace.labels / sample / "label.tif")


def color_masks(workspace: Workspace) -> dict[str, NDArray[np.uint8]]:
    """Replace every mask by a picture in the colours of the legend and return the truth."""
    truth = {}
    for sample in SAMPLES:
        truth[sample] = truth_of(workspace, sample)
        raw_mask(workspace, sample).unlink()
        picture = colorize(truth[sample], legend_of(workspace))
        write_png(workspace.raw / sample / "label" / "mask.png", picture)
    return truth


def test_colours_give_the_same_labels_as_codes(raw_workspace: Workspace) -> None:
    truth = color_masks(raw_workspace)
    change_params(raw_workspace, {"labels": {"masks": COLORS, "placement": ON_GRID}})
    label(raw_workspace)
    for sample in SAMPLES:
        assert np.array_equal(made(raw_workspace, sample), truth[sample])


def test_a_table_of_codes_merges_and_leaves_out(raw_workspace: Workspace) -> None:
    legend = legend_of(raw_workspace)
    kept, merged, void = legend.minerals[1], legend.minerals[2], legend.minerals[3]
    rows = [
        f"{m.code};{'void' if m == void else kept.name.upper() if m == merged else m.name}"
        for m in legend.minerals
    ]
    (raw_workspace.raw / "codes.csv").write_text("\n".join(["Code;Class", "255;", *rows]), "utf-8")
    change_params(
        raw_workspace,
        {"labels": {"masks": {"kind": "class_ids", "table": "codes.csv"}, "placement": ON_GRID}},
    )
    label(raw_workspace)
    for sample in SAMPLES:
        expected = truth_of(raw_workspace, sample)
        expected = np.where(expected == 2, 1, expected)
        assert np.array_equal(made(raw_workspace, sample), np.where(expected == 3, IGNORE, expected))


def test_a_changed_table_labels_again(raw_workspace: Workspace) -> None:
    table = raw_workspace.raw / "codes.csv"
    names = [f"{m.code},{m.name}" for m in legend_of(raw_workspace).minerals]
    table.write_text("\n".join(["code,class", *names]))
    masks = {"kind": "class_ids", "table": "codes.csv"}
    change_params(raw_workspace, {"labels": {"masks": masks, "placement": ON_GRID}})
    assert label(raw_workspace)["redone"] == SAMPLES
    assert label(raw_workspace)["redone"] == []
    table.write_text("\n".join(["code,class", "0,void", *names[1:]]))
    assert label(raw_workspace)["redone"] == SAMPLES


def test_strange_colours_above_the_limit_are_listed_and_below_it_are_void(raw_workspace: Workspace) -> None:
    truth = color_masks(raw_workspace)
    picture = colorize(truth["S01a"], legend_of(raw_workspace))
    picture[10:20, 30:50] = (1, 254, 3)
    write_png(raw_workspace.raw / "S01a" / "label" / "mask.png", picture)
    change_params(raw_workspace, {"labels": {"masks": COLORS, "placement": ON_GRID}})
    with pytest.raises(DataFaults) as caught:
        label(raw_workspace)
    message = str(caught.value)
    assert "mask.png" in message
    assert "2.17 % in colours" in message
    assert "#01fe03 (200 px, 2.2 %, first at column 30, row 10; nearest " in message
    masks = COLORS | {"max_unmapped_percent": 3.0}
    change_params(raw_workspace, {"labels": {"masks": masks, "placement": ON_GRID}})
    report = label(raw_workspace)
    assert report["unmapped_percent_most"] == pytest.approx(100 * 200 / SIZE_PX**2, abs=1e-3)
    labels = made(raw_workspace, "S01a")
    assert (labels[10:20, 30:50] == IGNORE).all()
    assert "#01fe03" in (raw_workspace.labelling / "index.html").read_text()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("code,class\n0,pore\n0,quartz\n", "code 0 stands for 'pore' in line 2 and for 'quartz' in line 3"),
        ("code,class\n0,pore\n1,kwarz\n", "line 3: 'kwarz' is no class of the legend"),
        ("code,class\n0,pore\nx,quartz\n", "line 3: x, quartz"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(raw_workspace: Workspace, table: str, says: str) -> None:
    (raw_workspace.raw / "codes.csv").write_text(table)
    masks = {"kind": "class_ids", "table": "codes.csv"}
    change_params(raw_workspace, {"labels": {"masks": masks, "placement": ON_GRID}})
    with pytest.raises(ConfigurationError, match=r"codes\.csv") as caught:
        label(raw_workspace)
    assert says in str(caught.value)


def test_a_table_outside_the_raw_data_is_refused(raw_workspace: Workspace) -> None:
    masks = {"kind": "class_ids", "table": "../../legend.yaml"}
    change_params(raw_workspace, {"labels": {"masks": masks, "placement": ON_GRID}})
    with pytest.raises(ConfigurationError, match=r"labels.masks.table"):
        label(raw_workspace)


@pytest.fixture(scope="module")
def mapped_once(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two sections of 2.7 mm, whose masks are the coarse maps in legend colours."""
    folder = tmp_path_factory.mktemp("maps")
    views = (Illumination.parse("PPL"), Illumination.parse("XPL45"))
    plan = SlidePlan(2, 768, "TL", views, PIXEL_UM, 5)
    synthesise_slides(folder / "set", plan, progress=silent)
    workspace = make_workspace(folder / "ws", folder / "set")
    for sample in ("S01a", "S01b"):
        truth = workspace.raw / sample / "truth"
        shutil.move(raw_mask(workspace, sample), truth / "mask.tif")
        shutil.move(truth / "mineral_map.png", workspace.raw / sample / "label" / "map.png")
    change_params(workspace, {"labels": {"masks": COLORS, "placement": MAP}})
    label(workspace)
    return workspace


@pytest.fixture
def mapped(mapped_once: Workspace, tmp_path: Path) -> Workspace:
    return copy_of(mapped_once, tmp_path / "ws")


def test_a_coarse_map_labels_the_fine_grid(mapped_once: Workspace) -> None:
    legend = legend_of(mapped_once)
    for sample in ("S01a", "S01b"):
        truth = legend.decode(read_mask(mapped_once.raw / sample / "truth" / "mask.tif"))
        labels = made(mapped_once, sample)
        labelled = labels != IGNORE
        assert labels.shape == truth.shape
        assert 0.3 < labelled.mean() < 0.9
        assert (labels[labelled] == truth[labelled]).mean() > 0.95
        row = read_json(mapped_once.labels / sample / "record.json")["map"]
        matrix = np.array(read_json(mapped_once.raw / sample / "truth" / "transforms.json")["mineral_map"])
        corners = np.array([[30, 30, 1], [230, 30, 1], [30, 230, 1], [230, 230, 1]])
        apart = (corners @ np.array(row["moving_to_fixed"]).T - corners @ matrix.T)[:, :2]
        assert np.sqrt((apart**2).sum(axis=1).mean()) < MAP_PIXEL_UM / PIXEL_UM  # one map pixel
        assert (mapped_once.labelling / f"{sample}_map.png").is_file()


def test_the_map_of_another_rock_is_refused_with_its_name(mapped: Workspace) -> None:
    other = make_other_map(mapped)
    write_png(mapped.raw / "S01b" / "label" / "map.png", other)
    with pytest.raises(Refused) as caught:
        label(mapped)
    assert "sample S01b" in str(caught.value)
    assert "landmarks.csv" in str(caught.value)
    change_params(mapped, {"labels": {"masks": COLORS, "placement": MAP | {"when_refused": "drop"}}})
    report = label(mapped)
    assert report["dropped"] == ["S01b"]
    assert not (mapped.labels / "S01b" / "label.tif").exists()


def make_other_map(workspace: Workspace) -> NDArray[np.uint8]:
    """Return a map of grains that are not in the section, in the colours of the legend."""
    rng = np.random.default_rng(9)
    centers = rng.random((260, 2)) * 269
    y, x = np.mgrid[:269, :269]
    nearest = np.hypot(y[..., None] - centers[:, 0], x[..., None] - centers[:, 1]).argmin(axis=2)
    legend = legend_of(workspace)
    return colorize(rng.integers(0, len(legend), 260).astype(np.uint8)[nearest], legend)


def test_marked_places_replace_the_search(mapped: Workspace) -> None:
    matrix = np.array(read_json(mapped.raw / "S01a" / "truth" / "transforms.json")["mineral_map"])
    places = [(20, 20), (240, 25), (30, 235), (230, 240), (130, 120), (60, 180)]
    rows = [[x, y, *(matrix @ [x, y, 1])[:2].round(2)] for x, y in places]
    text = "moving_x,moving_y,fixed_x,fixed_y\n" + "\n".join(",".join(map(str, row)) for row in rows)
    (mapped.raw / "S01a" / "label" / "landmarks.csv").write_text(text)
    assert label(mapped)["redone"] == ["S01a"]
    row = read_json(mapped.labels / "S01a" / "record.json")["map"]
    assert row["method"].startswith("landmarks")
    assert np.allclose(np.array(row["moving_to_fixed"])[:2], matrix[:2], atol=0.05)


def test_a_map_finer_than_the_image_is_refused(mapped: Workspace) -> None:
    change_params(mapped, {"labels": {"masks": COLORS, "placement": MAP | {"map_pixel_um": 1.0}}})
    with pytest.raises(DataFaults, match=r"a map of 1 um/px on an image of 3.5 um/px"):
        label(mapped)


def test_a_map_without_a_pixel_size_is_refused_and_its_file_may_state_one(mapped: Workspace) -> None:
    change_params(mapped, {"labels": {"masks": COLORS, "placement": MAP | {"map_pixel_um": None}}})
    with pytest.raises(DataFaults, match=r"the pixel size of the map is unknown"):
        label(mapped)
    for sample in ("S01a", "S01b"):
        path = mapped.raw / sample / "label" / "map.png"
        from_png = colors_of(path)
        path.unlink()
        height, width = from_png.shape[:2]
        spec = RasterSpec(height, width, 3, pixel_size=PixelSize.declared(MAP_PIXEL_UM))
        with raster_writer(path.with_suffix(".tif"), spec=spec) as target:
            target.write(from_png, row=0)
    assert label(mapped)["dropped"] == []


def colors_of(path: Path) -> NDArray[np.uint8]:
    from mineralseg.io.raster import open_raster  # noqa: PLC0415

    with open_raster(path) as raster:
        return raster.read_all()


def test_another_reference_draws_the_map_again(mapped: Workspace) -> None:
    rows = read_samples(mapped.samples_file)
    changed = [replace(row, reference="XPL45") if row.sample == "S01b" else row for row in rows]
    write_samples(mapped.samples_file, changed)
    assert label(mapped)["redone"] == ["S01b"]


def test_a_colour_map_with_losses_is_refused_unless_a_tolerance_is_set(raw_workspace: Workspace) -> None:
    truth = color_masks(raw_workspace)
    for sample in SAMPLES:
        folder = raw_workspace.raw / sample / "label"
        (folder / "mask.png").unlink()
        picture = colorize(truth[sample], legend_of(raw_workspace))
        Image.fromarray(picture).save(folder / "mask.jpg", quality=95, subsampling=0)
    change_params(raw_workspace, {"labels": {"masks": COLORS, "placement": ON_GRID}})
    with pytest.raises(DataFaults, match=r"mask\.jpg: lossy compression"):
        label(raw_workspace)
    masks = COLORS | {"tolerance": 12, "max_unmapped_percent": 30.0}
    change_params(raw_workspace, {"labels": {"masks": masks, "placement": ON_GRID}})
    label(raw_workspace)
    for sample in SAMPLES:
        labels = made(raw_workspace, sample)
        labelled = labels != IGNORE
        assert labelled.mean() > 0.4
        assert (labels[labelled] == truth[sample][labelled]).mean() > 0.99
