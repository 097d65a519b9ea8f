"""Small workspaces for tests, made through the same doors that people use."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mineralseg.config.params import Params
from mineralseg.core.geometry import PixelSize
from mineralseg.core.progress import Progress, silent
from mineralseg.core.slide import Illumination
from mineralseg.io.raster import open_raster
from mineralseg.io.raster_writer import RasterSpec, raster_writer
from mineralseg.io.tables import read_samples, read_yaml, write_samples, write_yaml
from mineralseg.stages.align import align_slides
from mineralseg.stages.ingest import ingest_slides
from mineralseg.stages.label import decode_labels
from mineralseg.stages.split import split_samples
from mineralseg.stages.synth import SlidePlan, synthesise_slides
from mineralseg.stages.workspace import Workspace

SHIPPED_PARAMS = Path(__file__).parents[1] / "mineralseg" / "scaffold" / "params.yaml"
SIZE_PX = 96
PIXEL_SIZE_UM = 1.5
SAMPLES = ["S01a", "S01b", "S02a", "S02b", "S03a", "S03b"]
TINY = {
    "project.name": "tiny",
    "data.illuminations": ["PPL", "XPL45"],
    "data.downsample": 2,
    "align": {"kind": "identity"},
    "labels": {"masks": {"kind": "class_ids", "table": None}, "placement": {"kind": "on_grid"}},
    "split": {"kind": "fraction", "val": 0.2, "test": 0.2},
    "model.arch": "deeplabv3plus",
    "model.encoder": "tu-lcnet_050",
    "model.encoder_weights": None,
    "train.epochs": 2,
    "train.batches_per_epoch": 2,
    "train.batch_size": 2,
    "train.patch_px": 64,
    "train.loss": {"kind": "cross_entropy_dice", "dice_weight": 0.5},
    "train.learning_rate": 0.002,
    "train.ema_decay": 0.9,
    "train.keep": "last",
    "train.precision": "float32",
    "train.augment.rotate_deg": 20.0,
    "train.workers": 0,
    "train.threads": 1,
    "train.device": "cpu",
    "inference.tile_px": 64,
    "inference.overlap_px": 16,
    "inference.views": 1,
}
"""What makes the shipped parameters train in a second."""
REGISTER = {
    "kind": "register",
    "reference": "PPL",
    "turned": "polars",
    "max_rotation_deg": 5.0,
    "max_scale_change": 0.05,
    "max_residual_px": 2.0,
    "min_score": 0.3,
    "when_refused": "stop",
}
"""Views are measured, as in the shipped parameters."""


def make_slides(folder: Path, *, samples: int = 6, size_px: int = SIZE_PX, seed: int = 3) -> None:
    """Write synthetic slides, two a specimen, with PPL and XPL45, a legend and a table of samples."""
    views = (Illumination.parse("PPL"), Illumination.parse("XPL45"))
    plan = SlidePlan(samples, size_px, "TL", views, PIXEL_SIZE_UM, seed)
    synthesise_slides(folder, plan, progress=silent)


def make_workspace(root: Path, slides: Path) -> Workspace:
    """Lay out `slides` as a workspace with tiny parameters, without git and DVC."""
    shutil.copytree(slides, root / "data" / "raw")
    for name in ("legend.yaml", "samples.csv"):
        (root / "data" / "raw" / name).rename(root / name)
    values = read_yaml(SHIPPED_PARAMS)
    values["project"]["name"] = "tiny"
    values["data"]["illuminations"] = ["PPL"]
    values["align"]["reference"] = "PPL"
    write_yaml(root / "params.yaml", Params.parse(values).replace(TINY).model_dump(mode="json"))
    return Workspace.at(root)


def change_params(workspace: Workspace, changes: dict[str, object]) -> Params:
    """Change dotted keys of the workspace's params.yaml and return the whole."""
    params = workspace.params().replace(changes)
    write_yaml(workspace.params_file, params.model_dump(mode="json"))
    return params


def prepare(workspace: Workspace, *, progress: Progress = silent) -> None:
    """Run the stages ingest, align, label and split."""
    params = workspace.params()
    for stage in (ingest_slides, align_slides, decode_labels, split_samples):
        stage(params, workspace, progress=progress)


def copy_of(workspace: Workspace, root: Path) -> Workspace:
    """Return a copy of a workspace, free to be changed."""
    shutil.copytree(workspace.root, root)
    return Workspace.at(root)


def raw_image(workspace: Workspace, sample: str, view: str = "PPL") -> Path:
    """Return the raw file of a view."""
    return workspace.raw / sample / "image" / f"{view}.tif"


def raw_mask(workspace: Workspace, sample: str) -> Path:
    """Return the raw mask of a sample."""
    return workspace.raw / sample / "label" / "mask.tif"


def write_tiff(path: Path, pixels: NDArray[np.uint8], *, pixel_size_um: float | None = PIXEL_SIZE_UM) -> None:
    """Write uint8 pixels (h, w) or (h, w, 3) as a TIFF, replacing what is there."""
    size = PixelSize.unknown() if pixel_size_um is None else PixelSize.declared(pixel_size_um)
    height, width, bands = (*pixels.shape, 1)[:3]
    with raster_writer(path, spec=RasterSpec(height, width, bands, pixel_size=size)) as target:
        target.write(pixels, row=0)


def darken(path: Path) -> None:
    """Replace an image by a darker one of the same size."""
    with open_raster(path) as source:
        pixels = source.read_all()
    write_tiff(path, pixels // 2)


def edit_samples(workspace: Workspace, *, without: str) -> None:
    """Remove the row of one sample from samples.csv."""
    rows = read_samples(workspace.samples_file)
    write_samples(workspace.samples_file, [row for row in rows if row.sample != without])
