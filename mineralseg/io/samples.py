"""Finding samples in the guide's layout: <root>/<sample>/image/*, <root>/<sample>/label/*."""

from dataclasses import dataclass
from pathlib import Path

from mineralseg.core.slide import Illumination, ViewName
from mineralseg.errors import DataFault

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif")


@dataclass(frozen=True)
class SampleFolder:
    """What lies in one sample's folder: files by illumination, masks, and files that name no view."""

    name: str
    views: dict[Illumination, tuple[Path, ...]]
    labels: tuple[Path, ...]
    unnamed: tuple[Path, ...]


def find_samples(root: Path) -> list[SampleFolder]:
    """Return the sample folders under `root`, by name; folders without `image` are not samples."""
    if not root.is_dir():
        raise DataFault(
            root,
            found="no such folder",
            expected="a folder of samples, each with image/ and label/",
            fix="check the path; raw data that DVC holds comes with `dvc pull` or `dvc checkout`",
        )
    folders = sorted(path for path in root.iterdir() if (path / "image").is_dir())
    if not folders:
        raise DataFault(
            root,
            found="no sample",
            expected="<sample>/image/*.tif and <sample>/label/*",
            fix="put each sample in a folder of its own",
        )
    return [_sample_folder(folder) for folder in folders]


def list_images(folder: Path) -> list[Path]:
    """Return the image files directly in `folder`, by name, without hidden ones."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _sample_folder(folder: Path) -> SampleFolder:
    views: dict[Illumination, list[Path]] = {}
    unnamed = []
    for path in list_images(folder / "image"):
        name = ViewName.parse(path)
        if name is None:
            unnamed.append(path)
        else:
            views.setdefault(name.illumination, []).append(path)
    return SampleFolder(
        folder.name,
        {illumination: tuple(views[illumination]) for illumination in sorted(views)},
        tuple(list_images(folder / "label")),
        tuple(unnamed),
    )
