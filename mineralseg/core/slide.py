"""A slide: one field of one specimen seen under one or more illuminations, with or without labels."""

import re
from dataclasses import dataclass
from functools import total_ordering
from pathlib import PurePath

from mineralseg.core.geometry import PixelSize
from mineralseg.errors import DataFault

_MODALITY_ORDER = ("PPL", "XPL", "RL", "BSE")
_ILLUMINATION = re.compile(
    r"(?P<modality>PPL|XPL|RL|BSE)(?P<angle>[0-9]{1,3}(?:\.[0-9]{1,2})?)?", re.IGNORECASE
)
_NAMED_VIEW = re.compile(rf"^(?:(?P<group>.+)_)?(?P<illumination>{_ILLUMINATION.pattern})$", re.IGNORECASE)


@total_ordering
@dataclass(frozen=True)
class Illumination:
    """How a view was lit: PPL, XPL with its stage angle in degrees, reflected light (RL) or BSE."""

    modality: str
    angle_deg: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Illumination":
        """Return the illumination that `text` (`PPL`, `XPL40`, `rl`) names."""
        match = _ILLUMINATION.fullmatch(text)
        if not match:
            raise DataFault(
                f"illumination {text!r}", found="an unknown name", expected="PPL, XPL, XPL<angle>, RL or BSE"
            )
        angle = match["angle"]
        return cls(match["modality"].upper(), None if angle is None else float(angle))

    @property
    def _key(self) -> tuple[int, float]:
        return _MODALITY_ORDER.index(self.modality), -1.0 if self.angle_deg is None else self.angle_deg

    def __lt__(self, other: "Illumination") -> bool:
        return self._key < other._key

    def __str__(self) -> str:
        return self.modality if self.angle_deg is None else f"{self.modality}{self.angle_deg:g}"


@dataclass(frozen=True)
class ViewName:
    """What a file name says: the group it belongs to (None when the name has none) and its illumination."""

    group: str | None
    illumination: Illumination

    @classmethod
    def parse(cls, path: PurePath) -> "ViewName | None":
        """Return what `patch_0001_XPL40.tif` or `PPL.jpg` says, None when it names no illumination."""
        match = _NAMED_VIEW.fullmatch(path.stem)
        return None if match is None else cls(match["group"], Illumination.parse(match["illumination"]))


@dataclass(frozen=True)
class ImageFile:
    """One image on disk as ingest found it: path below the raw data, hash, size, bands, um per px."""

    path: str
    sha256: str
    height: int
    width: int
    bands: int
    pixel_um: float | None = None


@dataclass(frozen=True)
class Slide:
    """One sample: its views by illumination name in channel order, its mask, and where it comes from.

    `reference` names the view on whose grid all results lie; `pixel_size` is that of the reference.
    """

    sample: str
    specimen: str
    reference: str
    views: dict[str, ImageFile]
    label: ImageFile | None
    pixel_size: PixelSize

    def __post_init__(self) -> None:
        if self.reference not in self.views:
            raise DataFault(
                f"sample {self.sample}",
                found=f"reference {self.reference}, which is not one of its views",
                expected=", ".join(self.views),
                fix="correct the column `reference` of samples.csv",
            )

    @property
    def height(self) -> int:
        """Rows of the reference view."""
        return self.views[self.reference].height

    @property
    def width(self) -> int:
        """Columns of the reference view."""
        return self.views[self.reference].width

    def require_views_on_one_grid(self) -> None:
        """Make sure that all views agree in size.

        Raises:
            DataFault: says which does not.
        """
        for name, image in self.views.items():
            self._require_size(name, image, "export both at the same size, or set align.kind: register")

    def require_label_on_grid(self) -> None:
        """Make sure that the mask has the size of the reference view.

        Raises:
            DataFault: it has another.
        """
        if self.label is not None:
            fix = "export both at the same size; images are never resized to fit. A coarse mineral map needs "
            self._require_size("label", self.label, fix + "labels.placement.kind: coarse_map")

    def _require_size(self, name: str, image: ImageFile, fix: str) -> None:
        if (image.height, image.width) != (self.height, self.width):
            raise DataFault(
                f"sample {self.sample}",
                found=f"{name} is {image.width} x {image.height} px",
                expected=f"{self.width} x {self.height} px like {self.reference}",
                fix=fix,
            )
