"""Real sandstone (PPL and XPL, five classes): from the folder as it is to a model that learned something."""

import os
from pathlib import Path

import pytest

from mineralseg.core.progress import silent
from mineralseg.core.split import PARTS
from mineralseg.io.files import read_json
from mineralseg.io.tables import read_samples
from mineralseg.stages.align import align_slides
from mineralseg.stages.check import check_workspace
from mineralseg.stages.evaluate import evaluate_model
from mineralseg.stages.ingest import ingest_slides
from mineralseg.stages.label import decode_labels
from mineralseg.stages.manifest import read_split
from mineralseg.stages.package import package_model
from mineralseg.stages.runs import NoRunBook
from mineralseg.stages.scaffold import init_workspace
from mineralseg.stages.split import split_samples
from mineralseg.stages.train import train_model
from mineralseg.stages.workspace import Workspace
from tests.workspaces import change_params

pytestmark = pytest.mark.realdata

MAJORITY_ACCURACY = 0.335
"""Share of test pixels of the commonest class: what a constant map would score."""
LEAK_ACCURACY = 0.8
"""Two annotators agree on 0.91 of the pixels; a short training that comes near has seen the answers."""
SHORT = {
    "data.downsample": 4,
    "model.arch": "unet",
    "model.encoder": "resnet18",
    "model.encoder_weights": None,
    "train.epochs": 2,
    "train.batches_per_epoch": 24,
    "train.batch_size": 8,
    "train.patch_px": 128,
    "train.threads": 2,
    "train.device": "cpu",
    "inference.views": 1,
    "eval.overlays": 2,
}


@pytest.fixture(scope="module")
def source() -> Path:
    root = os.environ.get("MINERALSEG_REALDATA", "")
    folder = Path(root) / "sandstone"
    if not root or not folder.is_dir():
        pytest.skip("MINERALSEG_REALDATA does not name a folder with sandstone/")
    return folder


@pytest.fixture(scope="module")
def workspace(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("sandstone") / "ws"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mineralseg.stages.scaffold._version", lambda workspace, progress: False)
        init_workspace(root, source, params_file=None, dry_run=False, progress=silent)
    return Workspace.at(root)


def test_the_manifest_of_the_data_is_respected(workspace: Workspace, source: Path) -> None:
    wanted = read_json(source / "manifest.json")["splits"]
    rows = {row.sample: row for row in read_samples(workspace.samples_file)}
    assert {name: row.part for name, row in rows.items()} == {
        name: part for part, members in wanted.items() for name in members
    }
    for members in wanted.values():
        for name, facts in members.items():
            assert rows[name].specimen == facts["field"]
    params = workspace.params()
    assert params.split.kind == "fixed_manifest"
    assert params.data.illuminations == ("PPL", "XPL")
    assert {row.pixel_size_um for row in rows.values()} == {0.755}


def test_the_data_have_no_fault(workspace: Workspace) -> None:
    result = check_workspace(workspace.root, progress=silent)
    assert (result.samples, result.faults) == (16, ())


def test_a_short_training_beats_a_constant_map_and_is_no_leak(workspace: Workspace) -> None:
    params = change_params(workspace, SHORT)
    for stage in (ingest_slides, align_slides, decode_labels, split_samples):
        stage(params, workspace, progress=silent)
    split = read_split(workspace.splits)
    assert [len(split.samples(part)) for part in PARTS] == [10, 2, 4]
    assert read_json(workspace.report("label"))["area_percent"]["Quartz"] > 10
    trained = train_model(params, workspace, runs=NoRunBook(), progress=print_line)
    scores = evaluate_model(params, workspace, runs=NoRunBook(), progress=print_line)
    package_model(params, workspace, progress=print_line)
    accuracies = [trained["val_pixel_accuracy"], scores["pixel_accuracy"]]
    assert max(accuracies) > MAJORITY_ACCURACY + 0.03, accuracies
    assert max(accuracies) < LEAK_ACCURACY, accuracies
    assert scores["samples"] == ["10a", "11a", "3a", "3b"]


def print_line(line: str) -> None:
    """Show progress to whoever runs this with -s."""
    print(line)
