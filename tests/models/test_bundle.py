import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as render_safetensors

from mineralseg.errors import UntrustedArtefact
from mineralseg.io.files import MAX_TEXT_BYTES, write_json
from mineralseg.models import bundle as bundle_module
from mineralseg.models.build import NormalisedNetwork, build_network
from mineralseg.models.bundle import (
    Bundle,
    ViewSpec,
    load_bundle,
    pack_weights,
    read_spec,
    save_bundle,
)
from mineralseg.models.card import render_card
from tests.models.specs import DEVIATION, MEAN, SCORES, make_spec


@pytest.fixture(scope="module")
def trained() -> NormalisedNetwork:
    """Return a network whose weights and statistics are none that a fresh one has."""
    torch.manual_seed(5)
    body = build_network("unet", "mobilenet_v2", encoder_weights=None, channels=4, classes=3)
    network = NormalisedNetwork(body, mean=MEAN, deviation=DEVIATION)
    network.train()(torch.randint(0, 256, (2, 4, 64, 64), dtype=torch.uint8))
    return network.eval()


@pytest.fixture(scope="module")
def bundle(trained: NormalisedNetwork) -> Bundle:
    weights = trained.body.state_dict()
    return Bundle(make_spec(weights_sha256=pack_weights(weights)[1]), weights)


@pytest.fixture
def folder(tmp_path: Path, bundle: Bundle) -> Path:
    save_bundle(bundle, tmp_path / "bundle", card=render_card(bundle.spec, name="m"))
    return tmp_path / "bundle"


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """Return a folder with a description."""
    write_json(tmp_path / "bundle.json", make_spec().model_dump(mode="json"))
    assert read_spec(tmp_path) == make_spec()
    return tmp_path


def test_a_loaded_bundle_predicts_bit_equal(folder: Path, bundle: Bundle, trained: NormalisedNetwork) -> None:
    loaded = load_bundle(folder, expected_sha256=bundle.spec.weights_sha256)
    assert loaded.spec == bundle.spec
    network = loaded.network()
    assert not network.training
    images = torch.randint(0, 256, (2, 4, 64, 96), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(network(images), trained(images))


def test_saving_again_gives_the_same_bytes(tmp_path: Path, folder: Path) -> None:
    save_bundle(load_bundle(folder), tmp_path / "again")
    for name in ("bundle.json", "weights.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_the_folder_holds_three_files_and_no_pickle(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "bundle.json",
        "weights.safetensors",
    ]
    weights = (folder / "weights.safetensors").read_bytes()
    header_length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + header_length])
    end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    assert len(weights) == 8 + header_length + end  # the header and plain numbers, nothing else


def test_what_does_not_belong_together_is_not_saved(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="not those that the bundle describes"):
        save_bundle(Bundle(make_spec(), bundle.weights), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_description_knows_legend_and_channels() -> None:
    spec = make_spec()
    assert spec.legend.names == ("pores", "quartz", "mica")
    assert spec.channels == 4
    separate = make_spec(
        mode="separate",
        views=(ViewSpec(illumination="PPL", bands=3), ViewSpec(illumination="XPL0", bands=3)),
        mean=MEAN[:3],
        deviation=DEVIATION[:3],
    )
    assert separate.channels == 3


def test_scores_are_kept(tmp_path: Path, bundle: Bundle) -> None:
    save_bundle(bundle.with_scores(SCORES), tmp_path)
    assert load_bundle(tmp_path).spec.scores == SCORES
    assert bundle.spec.scores is None


# Artefacts that are not to be trusted


@pytest.mark.parametrize("place", [0, 9, 5000, -1])
def test_a_changed_byte_of_the_weights_is_noticed(folder: Path, place: int) -> None:
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(UntrustedArtefact, match=r"as bundle.json says; fetch the model again"):
        load_bundle(folder)


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "folder", "large"])
def test_weights_that_are_no_longer_there_are_noticed(
    folder: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "weights.safetensors"
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:-1])
        case "empty":
            path.write_bytes(b"")
        case "missing":
            path.unlink()
        case "folder":
            path.unlink()
            path.mkdir()
        case "large":
            monkeypatch.setattr(bundle_module, "_MAX_WEIGHTS_BYTES", 1000)
    with pytest.raises(UntrustedArtefact, match=r"weights\.safetensors"):
        load_bundle(folder)


def test_a_registry_that_knows_other_weights_is_believed(folder: Path) -> None:
    with pytest.raises(UntrustedArtefact, match="as the registry says"):
        load_bundle(folder, expected_sha256="a" * 64)


def _forge(folder: Path, weights: bytes) -> None:
    """Replace the weights and the hash beside them."""
    (folder / "weights.safetensors").write_bytes(weights)
    content = json.loads((folder / "bundle.json").read_text())
    content["weights_sha256"] = hashlib.sha256(weights).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(content))


class Trap:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (Path("sprung"),)  # type: ignore[return-value]


def test_weights_that_are_a_pickle_are_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _forge(folder, pickle.dumps(Trap()))
    with pytest.raises(UntrustedArtefact, match="not a safetensors file"):
        load_bundle(folder)
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    "weights",
    [
        {"a": torch.zeros(3)},
        {},
        {"encoder.features.0.0.weight": torch.zeros(32, 9, 3, 3)},
    ],
    ids=["foreign", "none", "shape"],
)
def test_weights_of_another_network_are_refused(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    _forge(folder, render_safetensors(weights))
    with pytest.raises(UntrustedArtefact, match="do not fit unet/mobilenet_v2"):
        load_bundle(folder).network()


FOREIGN: dict[str, dict[str, Any]] = {
    "arch": {"arch": "os.system"},
    "encoder": {"encoder": "tu-hf-hub:someone/something"},
    "schema_version": {"schema_version": 2},
    "code": {"code": "import os"},
    "weights_sha256": {"weights_sha256": "0"},
    "views": {"views": []},
    "classes": {"classes": [{"code": 0, "name": "a", "color": "#000000", "density_g_cm3": None}]},
    "used twice": {"classes": [{"code": 0, "name": "a", "color": "#000000", "density_g_cm3": None}] * 2},
    "means": {"mean": [1.0]},
    "deviation": {"deviation": [1.0, 1.0, 0.0, 1.0]},
    "overlap_px": {"overlap_px": 33},
    "different bands": {"mode": "separate"},
    "downsample": {"downsample": 10**9},
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_description_that_is_not_ours_is_refused(described: Path, what: str) -> None:
    content = json.loads((described / "bundle.json").read_text()) | FOREIGN[what]
    (described / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(UntrustedArtefact, match="a bundle written by mineralseg"):
        read_spec(described)


def test_an_encoder_that_does_not_exist_is_refused_when_it_is_built(bundle: Bundle) -> None:
    forged = Bundle(make_spec(encoder="resnet19"), bundle.weights)
    with pytest.raises(UntrustedArtefact, match="do not fit unet/resnet19"):
        forged.network()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "3", "{}", '{"mean": [NaN]}', "[" * 100_000, "\ufeff{}"]
)
def test_a_file_that_describes_nothing_is_refused(described: Path, text: str) -> None:
    (described / "bundle.json").write_text(text)
    with pytest.raises(UntrustedArtefact, match=r"bundle\.json"):
        read_spec(described)


def test_a_huge_description_is_refused_unread(described: Path) -> None:
    with (described / "bundle.json").open("wb") as file:
        file.truncate(MAX_TEXT_BYTES + 1)
    with pytest.raises(UntrustedArtefact, match=r"bundle\.json"):
        read_spec(described)


def test_an_empty_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UntrustedArtefact, match="no such file"):
        load_bundle(tmp_path)
