"""Random textures that cost one look-up a pixel, whatever their detail."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

TABLE_STEP_PX = 0.25
_TABLE_LENGTH = 8192


def noise_tile(
    rng: np.random.Generator, *, size: int, wavelength_px: tuple[float, float], slope: float
) -> Field:
    """Return a square of smooth Gaussian noise that repeats seamlessly: float32, mean 0, variance 1.

    Fourier spectral synthesis (Lagae et al. 2010, doi:10.1111/j.1467-8659.2010.01827.x): amplitude falls with
    frequency to the power `slope` and vanishes outside the band of wavelengths (shortest, longest).
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    shortest, longest = wavelength_px
    low, high = 1 / min(longest, size / 2), 1 / max(shortest, 2.0)
    inside = (frequency >= min(low, high)) & (frequency <= max(high, low))
    gain = np.where(inside, np.maximum(frequency, low) ** -slope, 0.0)
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * gain
    noise = np.fft.irfft2(spectrum, s=(size, size))
    unit: Field = ((noise - noise.mean()) / noise.std()).astype(np.float32)
    return unit


def wrapped(tile: Field, rows: slice, columns: int) -> Field:
    """Return `rows` of an endless plane paved with a tile, `columns` wide."""
    size = len(tile)
    down = np.arange(rows.start, rows.stop) % size
    piece: Field = tile[down][:, np.arange(columns) % size]
    return piece


def line_table(rng: np.random.Generator, *, spacing_px: float, width_px: float) -> Field:
    """Return a profile across parallel lines (cleavage, scratches): 1 on a line, 0 off it.

    Float32 in steps of `TABLE_STEP_PX`; spacings are lognormal about `spacing_px`.
    """
    position = np.arange(_TABLE_LENGTH) * TABLE_STEP_PX
    count = int(position[-1] / spacing_px) + 2
    lines = np.cumsum(spacing_px * rng.lognormal(-0.18, 0.6, count))
    strength = rng.uniform(0.25, 1.0, count)
    profile = np.zeros(_TABLE_LENGTH)
    sigma_px = max(width_px, 0.5)
    half = int(4 * sigma_px / TABLE_STEP_PX) + 1
    for line, weight in zip(lines, strength, strict=True):
        middle = int(line / TABLE_STEP_PX)
        reach = slice(max(middle - half, 0), max(min(middle + half, _TABLE_LENGTH), 0))
        shape = weight * np.exp(-0.5 * ((position[reach] - line) / sigma_px) ** 2)
        profile[reach] = np.maximum(profile[reach], shape)
    return profile.astype(np.float32)


def lamella_table(rng: np.random.Generator, *, share: float) -> Field:
    """Return a random 0/1 profile across lamellae of mean width 1 px, a `share` of it 1.

    Float32 in steps of `TABLE_STEP_PX`; widths are lognormal, as of polysynthetic twins.
    """
    steps = 2 * int(_TABLE_LENGTH * TABLE_STEP_PX) + 64
    mean_px = np.where(np.arange(steps) % 2 == 0, 2 * (1 - share), 2 * share)
    width_px = mean_px * rng.lognormal(-0.25, 0.7, steps)
    edges = np.cumsum(width_px)
    position = np.arange(_TABLE_LENGTH) * TABLE_STEP_PX
    return (np.searchsorted(edges, position) % 2).astype(np.float32)


def look_up(tables: Field, kind: NDArray[np.intp] | int, position_px: Field) -> Field:
    """Return profiles `tables[kind]` at positions in pixels, repeating beyond their end."""
    step = (position_px * np.float32(1 / TABLE_STEP_PX)).astype(np.int32)
    profile: Field = tables[kind, step & (tables.shape[1] - 1)]
    return profile


def upper_tail(share: NDArray[np.floating[Any]]) -> Field:
    """Return the level that unit Gaussian noise exceeds with probability `share` (below 0.5); 9 for none.

    The rational approximation 26.2.22 of Abramowitz & Stegun 1964, error below 0.003.
    """
    safe = np.clip(share, 1e-6, 0.5)
    tail = np.sqrt(-2 * np.log(safe))
    level = tail - (2.30753 + 0.27061 * tail) / (1 + 0.99229 * tail + 0.04481 * tail**2)
    return np.where(share > 0, level, 9.0).astype(np.float32)


@dataclass(frozen=True)
class Patterns:
    """The noise of one section, shared by all its grains, each of which sees it with its own offset.

    `stack` (size * size, 5): blotches (up to 90 um), grit (up to 12 um), coating (up to 60 um), dots (a
    few pixels), sway (hundreds of um). `size` is a power of two.
    """

    size: int
    stack: Field

    @classmethod
    def draw(cls, rng: np.random.Generator, *, canvas_px: int, pixel_size_um: float) -> "Patterns":
        """Return patterns for a canvas."""
        size = 1 << int(np.clip(np.ceil(np.log2(canvas_px)), 7, 10))
        bands_um = ((8.0, 90.0, 1.6), (3.0, 12.0, 0.6), (4.0, 60.0, 1.0), (200.0, 900.0, 1.5))
        blotch, grit, coating, sway = (
            noise_tile(
                rng, size=size, wavelength_px=(short / pixel_size_um, long / pixel_size_um), slope=slope
            )
            for short, long, slope in bands_um
        )
        dots = noise_tile(rng, size=size, wavelength_px=(2.5, 7.0), slope=0.3)
        tiles = (blotch, grit, coating, dots, sway)
        return cls(size, np.stack([tile.ravel() for tile in tiles], axis=-1))

    def at(self, rows: NDArray[np.int32], columns: NDArray[np.int32]) -> Field:
        """Return the five patterns at places (any shape) of the endless plane, shape (..., 5)."""
        mask = self.size - 1
        return self.stack[(rows & mask) * self.size + (columns & mask)]
