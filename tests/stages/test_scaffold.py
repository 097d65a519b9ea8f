"""Init: what a new workspace holds, from each kind of source."""

import json
import shutil
from pathlib import Path

import pytest

from mineralseg.core.progress import silent
from mineralseg.errors import ConfigurationError, DataFault
from mineralseg.io.programs import run_git
from mineralseg.io.tables import read_legend, read_samples
from mineralseg.stages.check import check_workspace
from mineralseg.stages.scaffold import init_workspace
from mineralseg.stages.workspace import Workspace
from tests.workspaces import SAMPLES


@pytest.fixture
def git_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = A\n\temail = a@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave git and DVC out, which take seconds and have a test of their own."""
    monkeypatch.setattr("mineralseg.stages.scaffold._version", lambda workspace, progress: False)


def made_from(source: Path, root: Path) -> Workspace:
    made = init_workspace(root, source, params_file=None, dry_run=False, progress=silent)
    assert made.root == root
    return Workspace.at(root)


@pytest.mark.usefixtures("git_user")
def test_a_new_workspace_is_committed_versioned_and_without_fault(slides: Path, tmp_path: Path) -> None:
    root = tmp_path / "Glass Mountain (2)"
    made = init_workspace(root, slides, params_file=None, dry_run=False, progress=silent)
    assert (made.samples, made.illuminations, made.committed) == (6, ("PPL", "XPL45"), True)
    assert run_git(root, "status", "--porcelain") == ""
    tracked = run_git(root, "ls-files").split()
    assert {"params.yaml", "legend.yaml", "samples.csv", "dvc.yaml", "code.yaml", "data/raw.dvc"} <= set(
        tracked
    )
    assert not [name for name in tracked if name.endswith(".tif")]
    workspace = Workspace.at(root)
    params = workspace.params()
    assert (params.project.name, params.data.illuminations) == ("Glass-Mountain-2", ("PPL", "XPL45"))
    result = check_workspace(root, progress=silent)
    assert (result.samples, result.faults) == (6, ())
    assert read_legend(workspace.legend_file) == read_legend(slides / "legend.yaml")


@pytest.mark.usefixtures("no_programs")
def test_images_and_masks_are_copied_and_nothing_else(slides: Path, tmp_path: Path) -> None:
    workspace = made_from(slides, tmp_path / "ws")
    for name in SAMPLES:
        copied = {
            p.relative_to(workspace.raw / name) for p in (workspace.raw / name).rglob("*") if p.is_file()
        }
        assert {str(path) for path in copied} == {"image/PPL.tif", "image/XPL45.tif", "label/mask.tif"}
        for path in copied:
            assert (workspace.raw / name / path).read_bytes() == (slides / name / path).read_bytes()


@pytest.mark.usefixtures("no_programs")
def test_a_manifest_fixes_the_split_and_its_fields_are_the_specimens(slides: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(slides, source)
    (source / "samples.csv").unlink()
    splits = {
        "train": {"S01a": {"field": "F1"}, "S01b": {"field": "F1"}},
        "val": {"S02a": {"specimen": "F2"}, "S02b": {"field": "F2", "pixel_size_um": 2.5}},
        "test": ["S03a", "S03b"],
    }
    (source / "manifest.json").write_text(json.dumps({"pixel_size_um": 1.5, "splits": splits}))
    workspace = made_from(source, tmp_path / "ws")
    rows = {row.sample: row for row in read_samples(workspace.samples_file)}
    assert [(row.specimen, row.part, row.pixel_size_um) for row in rows.values()] == [
        ("F1", "train", 1.5),
        ("F1", "train", 1.5),
        ("F2", "val", 1.5),
        ("F2", "val", 2.5),
        ("S03a", "test", 1.5),
        ("S03b", "test", 1.5),
    ]
    assert workspace.params().split.kind == "fixed_manifest"
    assert check_workspace(workspace.root, progress=silent).faults == ()


@pytest.mark.usefixtures("no_programs")
def test_without_any_table_every_sample_is_a_specimen(slides: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(slides, source)
    (source / "samples.csv").unlink()
    workspace = made_from(source, tmp_path / "ws")
    assert [(row.sample, row.specimen) for row in read_samples(workspace.samples_file)] == [
        (n, n) for n in SAMPLES
    ]
    assert workspace.params().split.kind == "fraction"


@pytest.mark.usefixtures("no_programs")
def test_parameters_of_another_workspace_can_be_the_start(
    slides: Path, tmp_path: Path, prepared_once: Workspace
) -> None:
    made = init_workspace(
        tmp_path / "ws", slides, params_file=prepared_once.params_file, dry_run=False, progress=silent
    )
    assert Workspace.at(made.root).params_file.read_bytes() == prepared_once.params_file.read_bytes()


def test_a_manifest_of_another_kind_is_refused(slides: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(slides, source)
    (source / "samples.csv").unlink()
    (source / "manifest.json").write_text('{"splits": {"learn": []}}')
    with pytest.raises(DataFault, match="train, val and test"):
        init_workspace(tmp_path / "ws", source, params_file=None, dry_run=False, progress=silent)
    assert not (tmp_path / "ws").exists()


def test_a_folder_with_something_in_it_is_left_alone(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="not an empty folder"):
        init_workspace(tmp_path, slides, params_file=None, dry_run=False, progress=silent)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
