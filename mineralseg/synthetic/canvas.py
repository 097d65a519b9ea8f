"""The section before any light: which grain, which mineral, how far from its edge, at every pixel."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import Legend
from mineralseg.synthetic.catalogue import PORE, assemblage_of
from mineralseg.synthetic.grains import PLATY_ASPECT, Packing, Partition, pack_grains, partition
from mineralseg.synthetic.rock import Rock
from mineralseg.synthetic.texture import Field, Patterns, noise_tile, wrapped

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Canvas:
    """A square of rock, `margin_px` wider on every side than the section that is cut from it.

    `labels_HW` (int32) is 0 in pores and i + 1 in grain i of `packing`; `class_of_label` (uint8) gives
    the class index of every label; `edge_px_HW` is the distance to the nearest grain edge; `patterns`
    are seen by each label with its own `offset` (labels, 2).
    """

    rock: Rock
    legend: Legend
    packing: Packing
    labels_HW: NDArray[np.int32]
    class_of_label: NDArray[np.uint8]
    edge_px_HW: Field
    patterns: Patterns
    offset: NDArray[np.int32]
    margin_px: int
    pixel_size_um: float

    @property
    def side_px(self) -> int:
        """Side of the canvas."""
        return len(self.labels_HW)

    @property
    def frame(self) -> tuple[slice, slice]:
        """Where the section lies on the canvas."""
        inner = slice(self.margin_px, self.side_px - self.margin_px)
        return inner, inner


@dataclass(frozen=True)
class Scene:
    """Rows of a canvas as a renderer wants them, every field (h, W).

    `label` is the grain's row in tables of grains; `x_px` and `y_px` are measured from the grain's
    centre, right and up; the rest is what `Patterns` says here.
    """

    label: NDArray[np.int32]
    x_px: Field
    y_px: Field
    edge_px: Field
    blotch: Field
    grit: Field
    coating: Field
    dots: Field
    sway: Field


def build_canvas(
    rock: Rock, *, size_px: int, margin_px: int, pixel_size_um: float, rng: np.random.Generator
) -> Canvas:
    """Return a random piece of a rock whose inner square meets the recipe's fractions.

    Porosity is met exactly, minerals to within about one small grain.
    """
    assemblage = assemblage_of(rock.modality)
    side = size_px + 2 * margin_px
    radius_px = rock.grain_um / pixel_size_um / 2
    platy_share = sum(rock.fractions.get(name, 0.0) for name in assemblage.platy)
    packing = _oriented(
        pack_grains(
            rng, canvas_px=side, radius_px=radius_px, sorting=rock.sorting, platy_share=1.2 * platy_share
        ),
        rock,
        rng,
    )
    parts = partition(
        packing,
        canvas_px=side,
        warp=_warp(rock, radius_px, side, rng),
        rounding_px=max(0.34 * rock.rounding * radius_px, 0.3),
    )
    inner = slice(margin_px, margin_px + size_px)
    patterns = Patterns.draw(rng, canvas_px=side, pixel_size_um=pixel_size_um)
    labels, edge = _opened(parts, rock, (inner, inner), radius_px, rng)
    area_px = np.bincount(labels[inner, inner].ravel(), minlength=len(packing) + 1)[1:]
    minerals = assign_minerals(rock, assemblage.legend, packing, area_px, rng)
    offset = rng.integers(0, patterns.size, (len(packing) + 1, 2), dtype=np.int32)
    offset[0] = 0
    return Canvas(
        rock=rock,
        legend=assemblage.legend,
        packing=packing,
        labels_HW=labels,
        class_of_label=np.concatenate([np.zeros(1, np.uint8), minerals]),
        edge_px_HW=edge,
        patterns=patterns,
        offset=offset,
        margin_px=margin_px,
        pixel_size_um=pixel_size_um,
    )


def scene_of(canvas: Canvas, rows: slice) -> Scene:
    """Return the rows of a canvas as a renderer wants them."""
    label = canvas.labels_HW[rows]
    center = np.concatenate([np.zeros((1, 2)), canvas.packing.center_xy_px]).astype(np.float32)
    across = np.arange(canvas.side_px, dtype=np.int32)[None]
    down = np.arange(rows.start, rows.start + len(label), dtype=np.int32)[:, None]
    offset = canvas.offset[label]
    pattern = canvas.patterns.at(down + offset[..., 1], across + offset[..., 0])
    return Scene(
        label=label,
        x_px=across - center[:, 0][label],
        y_px=center[:, 1][label] - down,
        edge_px=canvas.edge_px_HW[rows],
        blotch=pattern[..., 0],
        grit=pattern[..., 1],
        coating=pattern[..., 2],
        dots=pattern[..., 3],
        sway=pattern[..., 4],
    )


def _oriented(packing: Packing, rock: Rock, rng: np.random.Generator) -> Packing:
    """Return the packing with platy grains stretched to the rock's elongation along its fabric."""
    platy = packing.aspect > PLATY_ASPECT
    aspect = np.where(platy, packing.aspect * rock.elongation / 2.5, packing.aspect)
    preferred = np.deg2rad(rock.fabric_deg) + rng.normal(0, 0.6, len(packing))
    return replace(packing, aspect=aspect, angle_rad=np.where(platy, preferred, packing.angle_rad) % np.pi)


def _warp(rock: Rock, radius_px: float, side: int, rng: np.random.Generator) -> tuple[Field, Field]:
    """Return displacements in pixels that corrugate grain contacts."""
    size = 1 << int(np.clip(np.ceil(np.log2(side)), 7, 11))
    amplitude = np.float32(0.16 * rock.roughness * radius_px)

    def tile() -> Field:
        return amplitude * noise_tile(rng, size=size, wavelength_px=(3.0, 2.4 * radius_px), slope=2.2)

    return tile(), tile()


def _opened(
    parts: Partition,
    rock: Rock,
    frame: tuple[slice, slice],
    radius_px: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int32], Field]:
    """Return labels with pores (0) at worn corners, and distances to the nearest edge.

    Pores gather in patches, as where a cement was never laid down; the share of the frame is exact.
    """
    side = len(parts.grain_HW)
    size = 1 << int(np.clip(np.ceil(np.log2(side)), 7, 10))
    patchy = noise_tile(rng, size=size, wavelength_px=(2 * radius_px, 14 * radius_px), slope=1.0)
    openness = np.empty_like(parts.rounded_px_HW)
    for rows in (slice(start, min(start + 256, side)) for start in range(0, side, 256)):
        worn = np.float32(0.07 * radius_px) * wrapped(patchy, rows, side)
        openness[rows] = parts.rounded_px_HW[rows] - worn
    porosity = rock.fractions.get(PORE, 0.0)
    level = np.quantile(openness[frame], porosity) if porosity > 0 else -np.inf
    solid = openness > level
    labels = np.where(solid, parts.grain_HW + 1, 0).astype(np.int32)
    if porosity <= 0:
        return labels, parts.contact_px_HW
    above = np.abs(openness - np.float32(level))
    return labels, np.where(solid, np.minimum(above, parts.contact_px_HW), above)


def assign_minerals(
    rock: Rock,
    legend: Legend,
    packing: Packing,
    area_px: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the class index of every grain so that areas meet the recipe's fractions.

    Grains are served from large to small (with some luck), each by the mineral that lacks most area,
    so that abundant minerals are coarse, accessories fine, and the last small grains even out the sum.
    Platy grains go to platy minerals first. Grains without area (outside the frame) follow the fractions.
    """
    platy_names = assemblage_of(rock.modality).platy
    solid = [i for i, name in enumerate(legend.names) if name != PORE]
    share = np.array([rock.fractions.get(legend.names[i], 0.0) for i in solid])
    share = share / share.sum()
    is_platy = np.array([legend.names[i] in platy_names for i in solid])
    lacking = share * area_px.sum()
    affinity = _affinities(packing, len(solid), rng) * rock.clustering
    elongated = packing.aspect > PLATY_ASPECT
    order = np.lexsort((-np.log(area_px + 1.0) + rng.normal(0, 0.5, len(packing)), ~elongated))
    minerals = np.empty(len(packing), np.uint8)
    scale = np.where(share > 0, share * max(area_px.sum(), 1), 1.0)
    for grain in order.tolist():
        if area_px[grain] == 0:
            choice = int(rng.choice(len(solid), p=share))
        else:
            need = np.where(lacking > 0.9 * area_px[grain], lacking / scale + affinity[grain], -np.inf)
            fitting = need[is_platy].max(initial=-np.inf) if elongated[grain] else -np.inf
            if np.isfinite(fitting):
                need = np.where(is_platy, need, -np.inf)
            choice = int(np.argmax(need if np.isfinite(need).any() else lacking))
            lacking[choice] -= area_px[grain]
        minerals[grain] = solid[choice]
    return minerals


def _affinities(packing: Packing, minerals: int, rng: np.random.Generator) -> Floats:
    """Return how much each mineral likes the place of each grain (grains, minerals), smooth in space."""
    size = 256
    reach = float(np.median(packing.radius_px)) / 4
    place = (packing.center_xy_px / max(reach, 1e-6)).astype(np.int64) % size
    tiles = [
        noise_tile(rng, size=size, wavelength_px=(16, 64), slope=0.5)[place[:, 1], place[:, 0]]
        for _ in range(minerals)
    ]
    return np.stack(tiles, axis=-1).astype(np.float64)
