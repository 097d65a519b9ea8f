"""Synth: slides with known truth, in the guide's layout."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mineralseg.core.geometry import PixelSize
from mineralseg.core.legend import IGNORE
from mineralseg.core.progress import Progress
from mineralseg.core.slide import Illumination
from mineralseg.core.split import SampleRow
from mineralseg.errors import ConfigurationError
from mineralseg.io.files import write_json
from mineralseg.io.raster_writer import RasterSpec, raster_writer, write_png
from mineralseg.io.tables import write_csv, write_legend, write_samples
from mineralseg.synthetic.rock import draw_rock
from mineralseg.synthetic.section import SyntheticSection, render_section

_FIELDS_PER_SPECIMEN = 2


@dataclass(frozen=True)
class SlidePlan:
    """Which slides to make: how many, square side, views (the first is the frame of truth), scale, seed."""

    samples: int
    size_px: int
    modality: str
    illuminations: tuple[Illumination, ...]
    pixel_size_um: float
    seed: int


def synthesise_slides(out: Path, plan: SlidePlan, *, progress: Progress) -> list[str]:
    """Write synthetic slides below `out` and return their names.

    Two slides are fields of one specimen (S01a, S01b), as in a real study. Beside the images and the mask
    of every slide stands its truth: truth/{modal,transforms}.json, grains.csv, and mineral_map.png, a
    coarse colour-coded map of the same field. The same plan gives the same bytes.

    Raises:
        ConfigurationError: `out` has something in it already, or the views do not go together.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(
            out, found="not an empty folder", expected="a new place", fix="choose another"
        )
    _check_views(plan)
    rows = []
    for number in range(plan.samples):
        specimen, field = divmod(number, _FIELDS_PER_SPECIMEN)
        specimen_name = f"S{specimen + 1:02d}"
        row = SampleRow(f"{specimen_name}{'ab'[field]}", specimen_name, pixel_size_um=plan.pixel_size_um)
        progress(f"synth: {row.sample} ({number + 1} of {plan.samples})")
        section = render_section(
            draw_rock(np.random.default_rng([plan.seed, specimen]), modality=plan.modality),
            size_px=plan.size_px,
            illuminations=plan.illuminations,
            pixel_size_um=plan.pixel_size_um,
            rng=np.random.default_rng([plan.seed, specimen, 1 + field]),
        )
        _write_section(section, out / row.sample)
        if number == 0:
            write_legend(out / "legend.yaml", section.legend)
        rows.append(row)
    write_samples(out / "samples.csv", rows)
    return [row.sample for row in rows]


def _check_views(plan: SlidePlan) -> None:
    """Refuse views that the modality (TL, RL or BSE) does not have."""
    for each in plan.illuminations:
        if ("TL" if each.modality in ("PPL", "XPL") else each.modality) != plan.modality:
            raise ConfigurationError(
                "--views",
                found=f"{each} in modality {plan.modality}",
                expected="PPL and XPL views in TL, RL in RL, BSE in BSE",
            )


def _write_section(section: SyntheticSection, folder: Path) -> None:
    pixel_size = PixelSize.declared(section.pixel_size_um)
    for name, image in section.images.items():
        spec = RasterSpec(image.shape[0], image.shape[1], bands=image.shape[2], pixel_size=pixel_size)
        with raster_writer(folder / "image" / f"{name}.tif", spec=spec) as target:
            target.write(image, row=0)
    codes = section.legend.encode(section.classes_HW)
    mask = RasterSpec(
        codes.shape[0],
        codes.shape[1],
        bands=1,
        palette=section.legend.palette(),
        nodata=IGNORE,
        pixel_size=pixel_size,
    )
    with raster_writer(folder / "label" / "mask.tif", spec=mask) as target:
        target.write(codes, row=0)
    _write_truth(section, folder / "truth")


def _write_truth(section: SyntheticSection, folder: Path) -> None:
    write_json(
        folder / "transforms.json",
        {
            "what": "3x3 matrices that take pixels (x, y) of a view to pixels of the first view",
            "views": {name: t.matrix.tolist() for name, t in section.view_to_fixed.items()},
            "mineral_map": section.coarse_map_to_fixed.matrix.tolist(),
        },
    )
    write_json(
        folder / "modal.json", {"pixel_size_um": section.pixel_size_um, "fraction": section.modal_fraction}
    )
    write_csv(
        folder / "grains.csv",
        ["id", "mineral", "area_px", "ecd_um", "centroid_x_px", "centroid_y_px", "axis_deg"],
        [
            [g.id, g.mineral, g.area_px]
            + [round(value, 3) for value in (g.ecd_um, *g.centroid_xy_px, g.axis_deg)]
            for g in section.grains
        ],
    )
    write_png(folder / "mineral_map.png", section.coarse_map_HWC)
