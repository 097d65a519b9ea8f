"""Prediction: what is written, and what is refused, group by group."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from mineralseg.core.legend import IGNORE
from mineralseg.core.progress import silent
from mineralseg.errors import Busy, ConfigurationError, DataFault, UntrustedArtefact
from mineralseg.io.files import hold_lock, read_json, sha256_file
from mineralseg.io.gdal import quiet_georeference
from mineralseg.io.raster import open_raster, probe, read_mask
from mineralseg.io.tables import read_csv
from mineralseg.models.bundle import Bundle, load_bundle
from mineralseg.stages.groups import find_groups
from mineralseg.stages.predict import GroupResult, ModelIdentity, predict_groups
from mineralseg.stages.scoring import Predictor
from mineralseg.stages.workspace import Workspace
from tests.workspaces import PIXEL_SIZE_UM, SIZE_PX, darken, write_tiff

FILES = {"labels.tif", "confidence.tif", "overlay.png", "modal.csv", "modal.json", "run.json"}
Predict = Callable[..., list[GroupResult]]


@pytest.fixture(scope="module")
def bundle(recorded_once: Workspace) -> Bundle:
    return load_bundle(recorded_once.bundle)


@pytest.fixture(scope="module")
def predictor(bundle: Bundle) -> Predictor:
    return Predictor(bundle)


@pytest.fixture
def inputs(tmp_path: Path, slides: Path) -> Path:
    """A folder of two groups of views named by their files."""
    folder = tmp_path / "in"
    folder.mkdir()
    for group in ("S01a", "S03b"):
        for view in ("PPL", "XPL45"):
            shutil.copy(slides / group / "image" / f"{view}.tif", folder / f"{group}_{view}.tif")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def predict(predictor: Predictor, bundle: Bundle, inputs: Path, out: Path) -> Predict:
    def run(
        *paths: Path, to: Path = out, overwrite: bool = False, by: Predictor = predictor, weights: str = ""
    ) -> list[GroupResult]:
        model = ModelIdentity("tiny", 1, weights or bundle.spec.weights_sha256)
        groups = find_groups(paths or [inputs])
        return list(predict_groups(by, groups, model=model, out=to, overwrite=overwrite, progress=silent))

    return run


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes()) for path in files
    }


def test_every_group_gets_its_maps_and_nothing_else(predict: Predict, out: Path) -> None:
    results = predict()
    assert [(result.group, result.status) for result in results] == [("S01a", "done"), ("S03b", "done")]
    for result in results:
        assert {path.name for path in (out / result.group).iterdir()} == FILES
        assert {Path(path) for path in result.outputs.values()} == set((out / result.group).iterdir())
    assert {path.name for path in out.iterdir()} == {"S01a", "S03b", ".lock"}


def test_modes_are_shares_of_the_label_map(predict: Predict, bundle: Bundle, out: Path) -> None:
    result = predict()[0]
    labels = read_mask(out / "S01a" / "labels.tif")
    legend = bundle.spec.legend
    assert sum(result.modal_percent.values()) == pytest.approx(100, abs=1e-3)
    rows = read_csv(out / "S01a" / "modal.csv")
    for row, mineral in zip(rows, legend.minerals, strict=True):
        pixels = int((labels == mineral.code).sum())
        assert (row["mineral"], int(row["code"]), int(row["pixels"])) == (mineral.name, mineral.code, pixels)
        assert float(row["area_percent"]) == pytest.approx(100 * pixels / labels.size, abs=1e-4)
        assert float(row["area_mm2"]) == pytest.approx(pixels * PIXEL_SIZE_UM**2 / 1e6, abs=1e-6)
        assert result.modal_percent[mineral.name] == pytest.approx(100 * pixels / labels.size, abs=1e-4)
    table = read_json(out / "S01a" / "modal.json")
    assert [row["mineral"] for row in table["minerals"]] == list(legend.names)


def test_the_label_map_says_what_its_codes_mean(predict: Predict, bundle: Bundle, out: Path) -> None:
    predict()
    path = out / "S01a" / "labels.tif"
    legend = bundle.spec.legend
    with quiet_georeference(), rasterio.open(path) as source:
        assert (source.count, source.dtypes, source.nodata) == (1, ("uint8",), IGNORE)
        assert source.shape == (SIZE_PX, SIZE_PX)
        palette, tags = source.colormap(1), source.tags()
    for mineral in legend.minerals:
        assert palette[mineral.code][:3] == mineral.rgb
        assert tags[f"CLASS_{mineral.code}"] == mineral.name
    assert tags["MINERALSEG_MODEL"] == "tiny version 1"
    assert tags["MINERALSEG_WEIGHTS_SHA256"] == bundle.spec.weights_sha256
    assert probe(path).pixel_size.um == pytest.approx(PIXEL_SIZE_UM)


def test_the_label_map_holds_codes_and_not_indices(
    bundle: Bundle, predict: Predict, out: Path, tmp_path: Path
) -> None:
    classes = tuple(each.model_copy(update={"code": each.code + 40}) for each in bundle.spec.classes)
    recoded = Predictor(Bundle(bundle.spec.model_copy(update={"classes": classes}), bundle.weights))
    predict()
    predict(to=tmp_path / "recoded", by=recoded)
    labels = read_mask(out / "S01a" / "labels.tif")
    assert set(np.unique(labels)) <= {each.code for each in bundle.spec.classes}
    np.testing.assert_array_equal(read_mask(tmp_path / "recoded" / "S01a" / "labels.tif"), labels + 40)


def test_confidence_is_percent_and_at_least_that_of_a_guess(
    predict: Predict, bundle: Bundle, out: Path
) -> None:
    predict()
    with open_raster(out / "S01a" / "confidence.tif") as source:
        confidence = source.read_all()
    assert confidence.shape == (SIZE_PX, SIZE_PX, 1)
    assert int(confidence.min()) >= int(100 / len(bundle.spec.classes))
    assert int(confidence.max()) <= 100


def test_run_json_leads_back_to_model_and_inputs(
    predict: Predict, bundle: Bundle, inputs: Path, out: Path
) -> None:
    predict()
    run = read_json(out / "S01a" / "run.json")
    behaviour = run["model"].pop("behaviour_sha256")
    assert len(behaviour) == 64
    assert run["model"] == {"name": "tiny", "version": 1, "weights_sha256": bundle.spec.weights_sha256}
    for view in ("PPL", "XPL45"):
        path = inputs / f"S01a_{view}.tif"
        assert run["inputs"][view] == {"path": str(path), "sha256": sha256_file(path)}
    for kind, name in run["outputs"].items():
        assert run["sha256"][kind] == sha256_file(out / "S01a" / Path(name).name)


def test_a_second_run_skips_and_touches_nothing(predict: Predict, out: Path) -> None:
    first = predict()
    before = contents(out)
    again = predict()
    assert [result.status for result in again] == ["skipped", "skipped"]
    assert [(r.outputs, r.modal_percent) for r in again] == [(r.outputs, r.modal_percent) for r in first]
    assert contents(out) == before


def test_results_that_were_moved_are_told_where_they_are(predict: Predict, out: Path, tmp_path: Path) -> None:
    predict()
    out.rename(tmp_path / "moved")
    for result in predict(to=tmp_path / "moved"):
        assert result.status == "skipped"
        assert all((tmp_path / "moved") in Path(path).parents for path in result.outputs.values())


def test_an_unfinished_group_is_done_again(predict: Predict, out: Path) -> None:
    predict()
    labels = (out / "S01a" / "labels.tif").read_bytes()
    (out / "S01a" / "run.json").unlink()
    (out / "S01a" / "labels.tif").write_bytes(b"half")
    assert [result.status for result in predict()] == ["done", "skipped"]
    assert (out / "S01a" / "labels.tif").read_bytes() == labels


@pytest.mark.parametrize("change", ["model", "input", "output"])
def test_other_maps_in_the_same_place_are_refused_without_overwrite(
    predict: Predict, inputs: Path, out: Path, change: str
) -> None:
    predict()
    weights = "0" * 64 if change == "model" else ""
    if change == "input":
        darken(inputs / "S01a_PPL.tif")
    if change == "output":
        (out / "S01a" / "modal.csv").write_text("edited by hand")
    before = contents(out / "S01a")
    result = predict(weights=weights)[0]
    assert result.status == "failed"
    assert isinstance(result.error, ConfigurationError)
    assert "--overwrite" in str(result.error)
    assert contents(out / "S01a") == before
    assert predict(weights=weights, overwrite=True)[0].status == "done"


def test_a_missing_view_names_group_and_view_and_the_others_are_done(
    predict: Predict, inputs: Path, out: Path
) -> None:
    (inputs / "S01a_XPL45.tif").unlink()
    bad, good = predict()
    assert (bad.group, bad.status, good.status) == ("S01a", "failed", "done")
    assert isinstance(bad.error, DataFault)
    assert "S01a" in str(bad.error)
    assert "view XPL45 is missing" in str(bad.error)
    assert not (out / "S01a").exists()


def test_a_file_that_breaks_off_leaves_no_finished_map(predict: Predict, inputs: Path, out: Path) -> None:
    path = inputs / "S01a_XPL45.tif"
    path.write_bytes(path.read_bytes()[:-2000])
    bad, good = predict()
    assert (bad.status, good.status) == ("failed", "done")
    assert isinstance(bad.error, DataFault)
    assert not (out / "S01a" / "run.json").exists()
    assert not (out / "S01a" / "labels.tif").exists()


def test_views_of_another_size_name_the_group(predict: Predict, inputs: Path) -> None:
    write_tiff(inputs / "S01a_XPL45.tif", np.zeros((SIZE_PX, SIZE_PX + 1, 3), np.uint8))
    error = predict()[0].error
    assert isinstance(error, DataFault)
    assert "group S01a" in str(error)


def test_another_magnification_is_refused(predict: Predict, inputs: Path) -> None:
    for view in ("PPL", "XPL45"):
        with open_raster(inputs / f"S01a_{view}.tif") as source:
            pixels = source.read_all()
        write_tiff(inputs / f"S01a_{view}.tif", pixels, pixel_size_um=3 * PIXEL_SIZE_UM)
    bad, good = predict()
    assert isinstance(bad.error, UntrustedArtefact)
    assert bad.error.exit_code == 6
    assert "4.5 um/px" in str(bad.error)
    assert good.status == "done"


def test_an_unknown_scale_gives_no_areas(predict: Predict, inputs: Path, out: Path) -> None:
    for view in ("PPL", "XPL45"):
        with open_raster(inputs / f"S01a_{view}.tif") as source:
            pixels = source.read_all()
        write_tiff(inputs / f"S01a_{view}.tif", pixels, pixel_size_um=None)
    assert predict()[0].status == "done"
    assert {row["area_mm2"] for row in read_csv(out / "S01a" / "modal.csv")} == {""}
    assert probe(out / "S01a" / "labels.tif").pixel_size.um is None


def test_the_folder_of_the_inputs_is_never_written_to(predict: Predict, inputs: Path, tmp_path: Path) -> None:
    group = tmp_path / "field"
    group.mkdir()
    for view in ("PPL", "XPL45"):
        shutil.copy(inputs / f"S01a_{view}.tif", group / f"{view}.tif")
    before = contents(group)
    [result] = predict(group, to=tmp_path, overwrite=True)
    assert isinstance(result.error, ConfigurationError)
    assert "input images" in str(result.error)
    assert contents(group) == before


def test_a_folder_in_use_is_busy(predict: Predict, out: Path) -> None:
    with hold_lock(out / ".lock", purpose="predict"), pytest.raises(Busy, match="predict"):
        predict()


def test_inputs_are_grouped_by_name(inputs: Path, slides: Path) -> None:
    by_file = find_groups([inputs])
    assert [(group.name, sorted(group.views)) for group in by_file] == [
        ("S01a", ["PPL", "XPL45"]),
        ("S03b", ["PPL", "XPL45"]),
    ]
    assert [group.name for group in find_groups([slides])] == sorted(
        p.name for p in slides.iterdir() if p.is_dir()
    )
    assert [group.name for group in find_groups([slides / "S02a"])] == ["S02a"]
    assert find_groups([inputs, inputs / "S01a_PPL.tif"]) == by_file


def test_a_view_twice_or_without_a_name_is_a_fault_of_its_group(
    predict: Predict, inputs: Path, slides: Path
) -> None:
    shutil.copy(inputs / "S01a_PPL.tif", inputs / "photo.tif")
    results = predict(inputs, slides / "S01a")
    by_group = {result.group: result for result in results}
    assert "more than once" in str(by_group["S01a"].error)
    assert "without an illumination" in str(by_group["photo"].error)
    assert by_group["S03b"].status == "done"


def test_inputs_that_do_not_exist_or_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        find_groups([tmp_path / "nowhere"])
    with pytest.raises(ConfigurationError, match="no image"):
        find_groups([tmp_path])


@pytest.mark.parametrize("name", ["..", "."])
def test_a_name_never_leads_out_of_the_output_folder(
    predict: Predict, inputs: Path, out: Path, tmp_path: Path, name: str
) -> None:
    before = set(tmp_path.iterdir())
    paths = []
    for view in ("PPL", "XPL45"):
        path = inputs / f"{name}_{view}.tif"
        shutil.copy(inputs / f"S01a_{view}.tif", path)
        paths.append(path)
    assert {result.status for result in predict(*paths)} == {"failed"}
    assert set(tmp_path.iterdir()) <= before | {out}
    assert {path.name for path in out.iterdir()} == {".lock"}


def test_a_slide_larger_than_a_strip_keeps_overlay_and_map_together(
    predict: Predict, slides: Path, tmp_path: Path, out: Path
) -> None:
    """Odd sizes that are no multiple of tile, strip or reduction come out at their own size."""
    folder = tmp_path / "wide"
    folder.mkdir()
    for view in ("PPL", "XPL45"):
        with open_raster(slides / "S01a" / "image" / f"{view}.tif") as source:
            pixels = source.read_all()
        write_tiff(folder / f"wide_{view}.tif", np.tile(pixels, (2, 3, 1))[:151, :233])
    [result] = predict(folder)
    assert result.status == "done"
    assert read_mask(out / "wide" / "labels.tif").shape == (151, 233)
    overlay = probe(out / "wide" / "overlay.png")
    assert (overlay.height, overlay.width) == (151, 233)


def test_results_are_plain_json(predict: Predict) -> None:
    for result in predict():
        assert json.loads(json.dumps(result.modal_percent)) == result.modal_percent
