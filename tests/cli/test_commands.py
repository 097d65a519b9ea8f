"""The commands as a person calls them: results on stdout, progress on stderr, and how they end."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mineralseg.io.files import hold_lock, read_json
from mineralseg.stages.workspace import Workspace
from tests.cli.conftest import Call
from tests.workspaces import SIZE_PX, TINY, raw_image, write_tiff

CHAMPION = ("--model-version", "@champion")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def inputs(tmp_path: Path, slides: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for group in ("S01a", "S03b"):
        for view in ("PPL", "XPL45"):
            shutil.copy(slides / group / "image" / f"{view}.tif", folder / f"{group}_{view}.tif")
    return folder


def test_synth_makes_the_same_bytes_for_the_same_seed(mineralseg: Call, tmp_path: Path) -> None:
    for name in ("one", "two"):
        outcome = mineralseg(
            "synth", tmp_path / name, "--samples", 2, "--size", 64, "--views", "PPL,XPL45", "--seed", 5
        )
        assert (outcome.code, outcome.err.count("synth:")) == (0, 2)
    made = tree(tmp_path / "one")
    assert made == tree(tmp_path / "two")
    assert {"legend.yaml", "samples.csv", "S01a/image/PPL.tif", "S01b/label/mask.tif"} <= set(made)
    for truth in ("modal.json", "transforms.json", "grains.csv", "mineral_map.png"):
        assert f"S01a/truth/{truth}" in made


@pytest.mark.parametrize("options", [("--modality", "RL"), ("--modality", "BSE", "--pixel-size", "0.4")])
def test_synth_makes_reflected_light_and_bse(
    mineralseg: Call, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert mineralseg("synth", tmp_path / "out", "--samples", 1, "--size", 64, *options).code == 0
    [image] = (tmp_path / "out" / "S01a" / "image").iterdir()
    assert image.stem == options[1]
    truth = read_json(tmp_path / "out" / "S01a" / "truth" / "modal.json")
    assert truth["pixel_size_um"] == (0.4 if len(options) > 2 else 0.7)


def test_synth_never_writes_into_a_folder_with_something_in_it(mineralseg: Call, slides: Path) -> None:
    before = tree(slides)
    outcome = mineralseg("synth", slides, "--samples", 1, "--size", 64)
    assert outcome.code == 2
    assert "not an empty folder" in outcome.err
    assert tree(slides) == before


def test_check_lists_faults_on_stderr_and_as_json(mineralseg: Call, raw_workspace: Workspace) -> None:
    assert mineralseg("check", "-w", raw_workspace.root).out == "6 samples, no fault\n"
    raw_image(raw_workspace, "S01a", "XPL45").unlink()
    write_tiff(raw_image(raw_workspace, "S02b"), np.zeros((SIZE_PX, 9, 3), np.uint8))
    outcome = mineralseg("check", "-w", raw_workspace.root, "--json")
    assert outcome.code == 3
    assert "2 faults in the data" in outcome.err
    [told] = lines(outcome.out)
    assert told["samples"] == 4
    assert [fault["subject"] for fault in told["faults"]] == ["sample S01a", "sample S02b"]
    assert {"subject", "found", "expected", "fix"} == set(told["faults"][0])


def test_no_workspace_is_a_usage_error(mineralseg: Call, tmp_path: Path) -> None:
    for command in (("check",), ("models", "list"), ("models", "register"), ("promote", "1")):
        outcome = mineralseg(*command, "-w", tmp_path)
        assert (outcome.code, outcome.out) == (2, "")
        assert "no params.yaml" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_wrong_parameters_are_a_usage_error(mineralseg: Call, raw_workspace: Workspace) -> None:
    text = raw_workspace.params_file.read_text()
    raw_workspace.params_file.write_text(text.replace("epochs:", "epoch:"))
    outcome = mineralseg("check", "-w", raw_workspace.root)
    assert outcome.code == 2
    assert "did you mean 'epochs'" in outcome.err


def test_registering_listing_and_promoting(mineralseg: Call, recorded: Workspace) -> None:
    place = ("-w", recorded.root, "--json")
    [registered] = lines(mineralseg("models", "register", *place).out)
    assert registered == {"model": "tiny", "version": 1, "aliases": ["champion"]}
    [version] = lines(mineralseg("models", "list", *place).out)
    assert version.keys() == {"model", "version", "aliases", "created", "run_id", "tags"}
    assert float(version["tags"]["test.pixel_accuracy"]) >= 0
    [promoted] = lines(mineralseg("promote", "1", *place).out)
    assert promoted == {"model": "tiny", "champion": 1, "previous": None, "changed": False}
    assert "@champion" in mineralseg("models", "list", "-w", recorded.root).out
    missing = mineralseg("promote", "9", *place)
    assert (missing.code, missing.out) == (2, "")


def test_evaluate_as_json_on_the_workspace_and_on_a_folder(
    mineralseg: Call, recorded: Workspace, slides: Path
) -> None:
    place = ("-w", recorded.root, "--json")
    [scores] = lines(mineralseg("evaluate", *CHAMPION, *place).out)
    assert {"pixel_accuracy", "mean_iou", "iou", "samples"} <= scores.keys()
    assert scores["model_version"] == 1
    assert {k: v for k, v in scores.items() if k != "model_version"} == read_json(recorded.report("evaluate"))
    [trained] = lines(mineralseg("evaluate", *CHAMPION, *place, "--split", "train").out)
    assert trained["samples"] == read_json(recorded.splits)["parts"]["train"]
    [folder] = lines(mineralseg("evaluate", "--model-version", 1, *place, "--data", slides).out)
    assert folder["samples"] == [f"S0{n}{side}" for n in (1, 2, 3) for side in "ab"]
    human = mineralseg("evaluate", *CHAMPION, "-w", recorded.root)
    assert human.code == 0
    assert "pixel accuracy" in human.out


def test_evaluate_on_data_with_other_classes_is_refused(
    mineralseg: Call, recorded: Workspace, slides: Path, tmp_path: Path
) -> None:
    shutil.copytree(slides, tmp_path / "other")
    legend = tmp_path / "other" / "legend.yaml"
    legend.write_text(legend.read_text().replace("name: quartz", "name: opal"))
    outcome = mineralseg("evaluate", *CHAMPION, "-w", recorded.root, "--data", tmp_path / "other", "--json")
    assert (outcome.code, outcome.out) == (6, "")
    assert "opal" in outcome.err


def test_predict_as_json(mineralseg: Call, recorded: Workspace, inputs: Path, tmp_path: Path) -> None:
    (inputs / "S01a_XPL45.tif").unlink()
    command = ("predict", inputs, *CHAMPION, "--out", tmp_path / "out", "-w", recorded.root)
    outcome = mineralseg(*command, "--json")
    assert outcome.code == 3
    bad, good = lines(outcome.out)
    keys = {"input", "status", "outputs", "modal_percent", "model_version", "error"}
    assert set(bad) == set(good) == keys
    assert (bad["input"], bad["status"], bad["outputs"], bad["model_version"]) == ("S01a", "failed", {}, 1)
    assert "XPL45 is missing" in bad["error"]
    assert (good["input"], good["status"], good["error"]) == ("S03b", "done", None)
    assert all(Path(path).is_file() for path in good["outputs"].values())
    assert sum(good["modal_percent"].values()) == pytest.approx(100, abs=1e-3)
    assert "1 of 2 groups failed" in outcome.err
    again = mineralseg(*command)
    assert again.code == 3
    assert "S03b: skipped" in again.out
    assert "XPL45 is missing" in again.err


def test_predict_tried_dry_says_what_it_would_do_and_writes_nothing(
    mineralseg: Call, recorded: Workspace, inputs: Path, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    outcome = mineralseg(
        "predict", inputs, *CHAMPION, "--out", tmp_path / "out", "--dry-run", "-w", recorded.root
    )
    assert outcome.code == 0
    assert outcome.out.splitlines()[0] == "S01a: PPL S01a_PPL.tif, XPL45 S01a_XPL45.tif"
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_predict_into_a_folder_in_use_is_busy(
    mineralseg: Call, recorded: Workspace, inputs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with hold_lock(out / ".lock", purpose="predict"):
        outcome = mineralseg("predict", inputs, *CHAMPION, "--out", out, "-w", recorded.root)
    assert (outcome.code, outcome.out) == (4, "")
    assert "in use by process" in outcome.err


def test_predict_with_changed_weights_is_refused(
    mineralseg: Call, recorded: Workspace, inputs: Path, tmp_path: Path
) -> None:
    [weights] = (recorded.private / "artifacts").rglob("weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    outcome = mineralseg("predict", inputs, *CHAMPION, "--out", tmp_path / "out", "-w", recorded.root)
    assert (outcome.code, outcome.out) == (6, "")
    assert not (tmp_path / "out").exists()


def test_predict_without_such_inputs_or_version_is_a_usage_error(
    mineralseg: Call, recorded: Workspace, inputs: Path, tmp_path: Path
) -> None:
    place = ("--out", tmp_path / "out", "-w", recorded.root)
    assert mineralseg("predict", tmp_path / "nowhere", *CHAMPION, *place).code == 2
    outcome = mineralseg("predict", inputs, "--model-version", "@best", *place)
    assert outcome.code == 2
    assert "@champion" in outcome.err
    assert not (tmp_path / "out").exists()


def test_init_tried_dry_writes_nothing(mineralseg: Call, slides: Path, tmp_path: Path) -> None:
    outcome = mineralseg("init", tmp_path / "ws", "--from", slides, "--dry-run")
    assert outcome.code == 0
    assert "would make" in outcome.out
    assert list(tmp_path.iterdir()) == []


def test_refreshing_the_code_tried_dry_writes_nothing(mineralseg: Call, raw_workspace: Workspace) -> None:
    raw_workspace.code_file.write_text("ingest: 0\n")
    assert mineralseg("init", raw_workspace.root, "--refresh-code", "--dry-run").code == 0
    assert raw_workspace.code_file.read_text() == "ingest: 0\n"
    assert mineralseg("check", "-w", raw_workspace.root).code == 3
    assert mineralseg("init", raw_workspace.root, "--refresh-code").code == 0
    assert mineralseg("check", "-w", raw_workspace.root).code == 0


def test_init_without_a_source_or_with_a_faulty_one_makes_nothing(
    mineralseg: Call, slides: Path, tmp_path: Path
) -> None:
    assert mineralseg("init", tmp_path / "ws").code == 2
    shutil.copytree(slides, tmp_path / "src")
    (tmp_path / "src" / "S02a" / "image" / "XPL45.tif").unlink()
    outcome = mineralseg("init", tmp_path / "ws", "--from", tmp_path / "src")
    assert outcome.code == 3
    assert "view XPL45 is missing" in outcome.err
    (tmp_path / "src" / "legend.yaml").unlink()
    assert "no legend" in mineralseg("init", tmp_path / "ws", "--from", tmp_path / "src").err
    assert not (tmp_path / "ws").exists()


@pytest.mark.slow
def test_a_training_that_leaves_the_numbers_is_refused(prepared: Workspace) -> None:
    """The door of DVC, in a process of its own: a loss that is no number ends with 7, not a traceback."""
    script = (
        "import runpy\n"
        "from mineralseg.models import losses\n"
        "losses.cross_entropy_dice = lambda weight: lambda logits, labels: logits.mean() * float('nan')\n"
        "runpy.run_module('pipelines.train', run_name='__main__')\n"
    )
    assert TINY["train.device"] == "cpu"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=prepared.root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (7, "")
    assert "training, epoch 1, step 1: loss nan" in done.stderr
    assert "Traceback" not in done.stderr
