import warnings
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from mineralseg.errors import ConfigurationError, EnvironmentFault
from mineralseg.models.build import Arch, NormalisedNetwork, build_network, known_encoders

CHANNELS, CLASSES = 4, 3
ARCHS: tuple[Arch, ...] = ("unet", "unetplusplus", "deeplabv3plus")


def _network(arch: Arch, encoder: str, *, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network(arch, encoder, encoder_weights=None, channels=CHANNELS, classes=CLASSES)


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("arch", ARCHS)
def test_every_network_keeps_the_contract(arch: Arch, encoder: str) -> None:
    network = _network(arch, encoder)
    images = torch.rand(2, CHANNELS, 64, 96)
    logits = network(images)
    assert logits.shape == (2, CLASSES, 64, 96)
    logits.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name

    other = _network(arch, encoder, seed=1).eval()
    with torch.inference_mode():
        before = network.eval()(images)
        assert not torch.equal(other(images), before)
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(images), before)
        alone = network(images[:1])
    torch.testing.assert_close(alone, before[:1], rtol=1e-4, atol=1e-4)


def test_the_seed_decides_the_initial_weights() -> None:
    first, second, other = (_network("unet", "mobilenet_v2", seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_normalisation_is_inside_and_no_weight() -> None:
    body = torch.nn.Identity()
    network = NormalisedNetwork(body, mean=[10.0, 20.0], deviation=[2.0, 4.0])
    grey = torch.tensor([14, 12], dtype=torch.uint8).view(1, 2, 1, 1)
    assert network(grey).flatten().tolist() == [2.0, -2.0]
    assert list(network.state_dict()) == []


def test_half_precision_computes_nearly_the_same_and_keeps_whole_weights() -> None:
    body = _network("unet", "mobilenet_v2").eval()  # batches this small make statistics of their own noise
    grey = torch.randint(0, 256, (2, CHANNELS, 64, 64), dtype=torch.uint8)
    whole, half = (
        NormalisedNetwork(body, mean=[128.0] * CHANNELS, deviation=[60.0] * CHANNELS, precision=precision)
        for precision in ("float32", "bfloat16")
    )
    logits = half(grey)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, whole(grey))
    scale = float(logits.detach().std())
    torch.testing.assert_close(logits, whole(grey), rtol=0, atol=0.2 * scale)
    logits.square().mean().backward()
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float32}
    assert all(
        parameter.grad is not None and parameter.grad.dtype == torch.float32
        for parameter in half.parameters()
    )


@pytest.mark.parametrize("encoder", ["resnet19", "resnet", "", "../weights"])
def test_an_unknown_encoder_is_named_beside_the_known_ones(encoder: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _network("unet", encoder)
    assert repr(encoder) in str(caught.value)
    assert "resnet18" in str(caught.value)
    assert "mobilenet_v2" in known_encoders()


@pytest.mark.parametrize(("arch", "encoder"), [("unetplusplus", "mit_b0"), ("unet", "tu-no_such_model")])
def test_an_encoder_that_does_not_fit_is_refused(arch: Arch, encoder: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{arch} with encoder {encoder} cannot be built"):
        _network(arch, encoder)


def test_unknown_pretrained_weights_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be built"):
        build_network("unet", "resnet18", encoder_weights="moon", channels=3, classes=2)


@pytest.mark.parametrize("encoder", ["resnet18", "tu-resnet18"])
def test_pretrained_weights_without_a_network_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(EnvironmentFault, match=r"model\.encoder_weights: null") as caught,
    ):
        build_network("unet", encoder, encoder_weights="imagenet", channels=3, classes=2)
    assert f"'imagenet' for {encoder} cannot be fetched" in str(caught.value)
