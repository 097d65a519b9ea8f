"""A bundle: everything inference needs in one folder, and nothing that runs.

bundle.json           what the network is, what it was trained to see, what it scored
weights.safetensors   its weights, whose sha256 stands in bundle.json
README.md             the model card, for people
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as render_safetensors
from torch import Tensor

from mineralseg.config.data import AlignByRegistration
from mineralseg.config.section import Section
from mineralseg.core.legend import Legend, Mineral
from mineralseg.errors import ConfigurationError, DataFault, UntrustedArtefact
from mineralseg.io.files import read_bytes, read_json, write_atomic, write_json
from mineralseg.models.build import Arch, NormalisedNetwork, build_network

WEIGHTS_NAME = "weights.safetensors"
CARD_NAME = "README.md"
_JSON_NAME = "bundle.json"
_MAX_WEIGHTS_BYTES = 4 << 30


class ViewSpec(Section):
    """One view in channel order."""

    illumination: str
    bands: int = Field(ge=1, le=4)


class ClassSpec(Section):
    """One class of the legend."""

    code: int
    name: str
    color: str
    density_g_cm3: float | None = None


class Scores(Section):
    """How the network did on the test samples of its own experiment."""

    samples: tuple[str, ...]
    pixel_accuracy: float | None
    mean_iou: float | None
    iou: dict[str, float | None]


class BundleSpec(Section):
    """The content of bundle.json. It holds no clock time, host or run id: equal inputs give equal bytes."""

    schema_version: Literal[1]
    arch: Arch
    encoder: str = Field(pattern=r"^[a-z][a-z0-9_-]{1,63}$")
    mode: Literal["stack", "separate"]
    views: tuple[ViewSpec, ...] = Field(min_length=1, max_length=64)
    classes: tuple[ClassSpec, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    downsample: int = Field(ge=1, le=32)
    pixel_size_um: tuple[float, float] | None
    """Smallest and largest pixel size of the training samples; null when any of them is unknown."""
    tile_px: int = Field(ge=64, le=4096, multiple_of=32)
    overlap_px: int = Field(ge=0, le=2048)
    batch_size: int = Field(ge=1, le=1024)
    test_time_views: Literal[1, 4, 8]
    align: AlignByRegistration | None = None
    """How loose views are brought on one grid, as the training samples were; null when they come aligned."""
    training: dict[str, str]
    """Where it comes from: fingerprint and hashes of data, legend, split and code."""
    scores: Scores | None
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def legend(self) -> Legend:
        """The classes as a legend."""
        return Legend.of(Mineral(c.code, c.name, c.color, c.density_g_cm3) for c in self.classes)

    @property
    def channels(self) -> int:
        """Input channels of the network."""
        bands = [view.bands for view in self.views]
        return sum(bands) if self.mode == "stack" else bands[0]

    @model_validator(mode="after")
    def _parts_fit(self) -> "BundleSpec":
        if self.mode == "separate" and len({view.bands for view in self.views}) > 1:
            raise ValueError("separate views with different bands")
        if not len(self.mean) == len(self.deviation) == self.channels:
            raise ValueError(f"not one mean and one deviation for each of {self.channels} channels")
        if min(self.deviation) <= 0:
            raise ValueError("a deviation that is not positive")
        if self.overlap_px > self.tile_px // 2:
            raise ValueError("overlap_px is more than half of tile_px")
        try:
            _ = self.legend
        except DataFault as fault:
            raise ValueError(str(fault)) from fault
        return self


@dataclass(frozen=True)
class Bundle:
    """A trained network with its description. Law: loaded, it predicts bit-equal to what was saved."""

    spec: BundleSpec
    weights: Mapping[str, Tensor]

    def network(self) -> NormalisedNetwork:
        """Return the network in evaluation mode, on the CPU.

        Raises:
            UntrustedArtefact: the weights do not belong to the architecture that the bundle names.
        """
        try:
            body = build_network(
                self.spec.arch,
                self.spec.encoder,
                encoder_weights=None,
                channels=self.spec.channels,
                classes=len(self.spec.classes),
            )
            body.load_state_dict(dict(self.weights), strict=True)
        except (RuntimeError, ConfigurationError) as error:
            raise UntrustedArtefact(
                "bundle",
                found=f"weights that do not fit {self.spec.arch}/{self.spec.encoder}: "
                f"{' '.join(str(error).split())[:300]}",
                expected="the weights of the named architecture",
            ) from None
        return NormalisedNetwork(body, mean=self.spec.mean, deviation=self.spec.deviation).eval()

    def with_scores(self, scores: Scores) -> "Bundle":
        """Return the bundle with the scores of its evaluation."""
        return Bundle(self.spec.model_copy(update={"scores": scores}), self.weights)

    def with_alignment(self, align: AlignByRegistration | None) -> "Bundle":
        """Return the bundle that brings loose views on one grid as `align` says; None: they come aligned."""
        return Bundle(self.spec.model_copy(update={"align": align}), self.weights)


def pack_weights(weights: Mapping[str, Tensor]) -> tuple[bytes, str]:
    """Return the safetensors bytes of weights, and their sha256."""
    data = render_safetensors({name: weights[name].detach().cpu().contiguous() for name in sorted(weights)})
    return data, hashlib.sha256(data).hexdigest()


def save_bundle(bundle: Bundle, folder: Path, *, card: str | None = None) -> None:
    """Write a bundle's files into `folder`; bundle.json comes last, so a folder without it is unfinished."""
    data, digest = pack_weights(bundle.weights)
    if digest != bundle.spec.weights_sha256:
        raise ValueError("the weights are not those that the bundle describes")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / WEIGHTS_NAME, data)
    if card is not None:
        write_atomic(folder / CARD_NAME, card.encode())
    write_json(folder / _JSON_NAME, bundle.spec.model_dump(mode="json"))


def load_bundle(folder: Path, *, expected_sha256: str | None = None) -> Bundle:
    """Return the bundle in `folder`; nothing from it is executed.

    Args:
        folder: with bundle.json and weights.safetensors.
        expected_sha256: what another record (the registry) says of the weights.

    Raises:
        UntrustedArtefact: the description is not one of ours, or the weights are not those it names.
    """
    spec = read_spec(folder)
    path = folder / WEIGHTS_NAME
    try:
        data = read_bytes(path, max_bytes=_MAX_WEIGHTS_BYTES)
    except DataFault as fault:
        raise UntrustedArtefact(path, found=fault.found, expected="the weights of the model") from None
    digest = hashlib.sha256(data).hexdigest()
    for record, wanted in ((_JSON_NAME, spec.weights_sha256), ("the registry", expected_sha256)):
        if wanted is not None and digest != wanted:
            raise UntrustedArtefact(
                path,
                found=f"sha256 {digest}",
                expected=f"{wanted} as {record} says",
                fix="fetch the model again; never use changed weights",
            )
    try:
        return Bundle(spec, parse_safetensors(data))
    except SafetensorError as error:
        raise UntrustedArtefact(path, found=f"not a safetensors file ({error})") from None


def read_spec(folder: Path) -> BundleSpec:
    """Return the description in bundle.json of `folder`."""
    path = folder / _JSON_NAME
    try:
        content: Any = read_json(path)
        return BundleSpec.model_validate_json(json.dumps(content))
    except DataFault as fault:
        raise UntrustedArtefact(path, found=fault.found, expected="the description of a model") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UntrustedArtefact(
            path,
            found=f"{error.error_count()} wrong entries, first {where}: {first['msg']}",
            expected="a bundle written by mineralseg",
        ) from None
