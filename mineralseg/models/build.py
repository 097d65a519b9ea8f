"""Networks by name, from segmentation-models-pytorch, with normalisation inside."""

import os
from collections.abc import Sequence
from typing import Any, Literal, assert_never

# Read once by huggingface_hub when it is imported: a fetch of weights then fails at once when the
# network is absent, instead of after half a minute of retries.
os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "10")

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from mineralseg.errors import ConfigurationError, EnvironmentFault

Arch = Literal["unet", "unetplusplus", "deeplabv3plus"]
Precision = Literal["float32", "bfloat16"]


class NormalisedNetwork(nn.Module):
    """A network that takes grey levels 0..255 and gives logits; mean and deviation are its constants."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        body: nn.Module,
        *,
        mean: Sequence[float],
        deviation: Sequence[float],
        precision: Precision = "float32",
    ) -> None:
        """Wrap `body`; `mean` and `deviation` are grey levels by channel.

        With `precision` bfloat16 convolutions run in it, while weights, sums and logits stay float32.
        """
        super().__init__()
        self.body = body.to(memory_format=torch.channels_last)
        self._precision = precision
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1), persistent=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) of grey levels (B, channels, H, W); H and W multiples of 32."""
        image = (image_BCHW.float() - self.mean) / self.deviation
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self._precision == "bfloat16"):
            logits: Tensor = self.body(image.contiguous(memory_format=torch.channels_last))
        return logits.float()


def build_network(
    arch: Arch,
    encoder: str,
    *,
    encoder_weights: str | None,
    channels: int,
    classes: int,
) -> nn.Module:
    """Return an encoder-decoder that maps (B, channels, H, W) to logits (B, classes, H, W).

    U-Net (doi 10.1007/978-3-319-24574-4_28), UNet++ (10.1007/978-3-030-00889-5_1) and DeepLabV3+
    (10.1007/978-3-030-01234-2_49).

    Raises:
        ConfigurationError: there is no such encoder, or it does not fit the architecture.
        EnvironmentFault: pretrained weights were asked for and cannot be fetched.
    """
    if encoder not in known_encoders() and not encoder.startswith("tu-"):
        raise ConfigurationError(
            "model.encoder", found=repr(encoder), expected=f"one of {', '.join(sorted(known_encoders()))}"
        )
    settings: dict[str, Any] = {
        "encoder_name": encoder,
        "encoder_weights": encoder_weights,
        "in_channels": channels,
        "classes": classes,
    }
    network: nn.Module
    try:
        match arch:
            case "unet":
                network = smp.Unet(**settings)
            case "unetplusplus":
                network = smp.UnetPlusPlus(**settings)
            case "deeplabv3plus":
                network = smp.DeepLabV3Plus(**settings)
            case _:
                assert_never(arch)
    except OSError as error:  # what the hub client raises when it can neither fetch nor find a file
        raise EnvironmentFault(
            "model.encoder_weights",
            found=f"{encoder_weights!r} for {encoder} cannot be fetched ({type(error).__name__})",
            expected="a network connection or an earlier download",
            fix="set model.encoder_weights: null to start from scratch, or fetch it once while online",
        ) from error
    except (KeyError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            "model",
            found=f"{arch} with encoder {encoder} cannot be built ({error})",
            fix="choose another encoder; resnet18 fits every architecture",
        ) from error
    return network


def known_encoders() -> set[str]:
    """Return the names of the encoders that segmentation-models-pytorch brings itself."""
    return set(smp.encoders.get_encoder_names())
