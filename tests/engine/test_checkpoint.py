import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.engine.checkpoint import load_checkpoint, save_checkpoint
from mineralseg.engine.fit import EpochReport, FitState, fit
from mineralseg.errors import UntrustedArtefact
from mineralseg.models.build import NormalisedNetwork, build_network
from mineralseg.models.losses import cross_entropy
from tests.engine.problem import batches_of, network, plan, scene, validate


@pytest.fixture(scope="module")
def states() -> list[FitState]:
    return [report.state for report in _epochs()]


def _epochs(resume: FitState | None = None) -> list[EpochReport]:
    return list(
        fit(
            network(),
            batches=batches_of(2),
            validate=validate,
            loss=cross_entropy,
            optimisation=plan(batches_per_epoch=2),
            resume=resume,
        )
    )


@pytest.fixture
def folder(tmp_path: Path, states: list[FitState]) -> Path:
    for state in states[:3]:
        save_checkpoint(tmp_path / "c", state, run_id="run-1")
    return tmp_path / "c"


def _load(folder: Path) -> tuple[int, list[str]]:
    """Return the epoch that is gone on from, and what was warned of."""
    warnings: list[str] = []
    found = load_checkpoint(folder, warn=warnings.append)
    assert found is not None
    assert found[1] == "run-1"
    return found[0].epoch, warnings


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_going_on_from_disk_gives_the_same_bytes(folder: Path, states: list[FitState]) -> None:
    found = load_checkpoint(folder, warn=pytest.fail)
    assert found is not None
    assert found[0].history == states[2].history
    resumed, whole = _epochs(resume=found[0])[-1].state, states[3]
    for part in ("network", "average", "kept"):
        ours, theirs = getattr(resumed, part), getattr(whole, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (resumed.history, resumed.kept_epoch) == (whole.history, whole.kept_epoch)


def test_a_real_network_goes_on_with_the_same_bytes_too(tmp_path: Path) -> None:
    def started(seed: int, resume: FitState | None) -> Iterator[EpochReport]:
        torch.manual_seed(seed)
        body = build_network("unet", "mobilenet_v2", encoder_weights=None, channels=2, classes=3)
        return fit(
            NormalisedNetwork(body, mean=[120.0, 120.0], deviation=[60.0, 60.0]),
            batches=_large_batches,
            validate=lambda trained: ConfusionMatrix.zero(3),
            loss=cross_entropy,
            optimisation=plan(epochs=3, batches_per_epoch=1),
            resume=resume,
        )

    for report in started(0, None):
        if report.epoch == 1:
            save_checkpoint(tmp_path, report.state, run_id="r")
    whole = report.state
    found = load_checkpoint(tmp_path, warn=pytest.fail)
    assert found is not None
    resumed = list(started(1, found[0]))[-1].state
    for part in ("network", "average"):
        ours, theirs = getattr(resumed, part), getattr(whole, part)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def _large_batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    images, labels = scene(epoch)
    yield (
        images.repeat_interleave(4, 2).repeat_interleave(4, 3),
        labels.repeat_interleave(4, 1).repeat_interleave(4, 2),
    )


def test_two_are_kept(folder: Path) -> None:
    assert _files(folder) == ["epoch-000002.pt", "epoch-000003.pt", "latest.json"]
    assert _load(folder) == (3, [])


def test_saving_an_epoch_again_keeps_the_one_before(folder: Path, states: list[FitState]) -> None:
    save_checkpoint(folder, states[2], run_id="run-1")
    assert _files(folder) == ["epoch-000002.pt", "epoch-000003.pt", "latest.json"]
    (folder / "epoch-000003.pt").unlink()
    assert _load(folder)[0] == 2


def test_no_checkpoints_are_no_fault(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none", warn=pytest.fail) is None


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: list[Callable[[Path], object]] = [_cut, _change, Path.unlink, lambda path: path.write_bytes(b"")]
each_damage = pytest.mark.parametrize("damage", DAMAGES, ids=["cut", "changed", "gone", "empty"])


@each_damage
def test_behind_a_damaged_one_stands_the_one_before(folder: Path, damage: Callable[[Path], object]) -> None:
    damage(folder / "epoch-000003.pt")
    epoch, warnings = _load(folder)
    assert epoch == 2
    assert len(warnings) == 1
    assert "epoch-000003.pt is damaged, trying the one before" in warnings[0]


@each_damage
def test_two_damaged_ones_are_not_silently_a_fresh_start(
    folder: Path, damage: Callable[[Path], object]
) -> None:
    for name in ("epoch-000002.pt", "epoch-000003.pt"):
        damage(folder / name)
    warnings: list[str] = []
    with pytest.raises(UntrustedArtefact, match=r"2 damaged checkpoint\(s\).*delete the folder"):
        load_checkpoint(folder, warn=warnings.append)
    assert len(warnings) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"run_id": "r"}'])
def test_a_damaged_pointer_is_not_silently_a_fresh_start(
    folder: Path, states: list[FitState], text: str
) -> None:
    (folder / "latest.json").write_text(text)
    with pytest.raises(UntrustedArtefact, match=r"latest\.json.*delete the folder"):
        load_checkpoint(folder, warn=pytest.fail)


class Trap:
    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (Path("sprung"),)


def test_a_checkpoint_that_would_run_code_is_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    forged = pickle.dumps(Trap(), protocol=2)
    (folder / "epoch-000003.pt").write_bytes(forged)
    pointer = json.loads((folder / "latest.json").read_text())
    pointer["checkpoints"][0]["sha256"] = hashlib.sha256(forged).hexdigest()
    (folder / "latest.json").write_text(json.dumps(pointer))
    assert _load(folder)[0] == 2
    assert not Path("sprung").exists()


def test_an_interrupted_write_leaves_the_last_one_in_force(
    folder: Path, states: list[FitState], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mineralseg.engine.checkpoint.write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(folder, states[3], run_id="run-1")
    assert _load(folder) == (3, [])
