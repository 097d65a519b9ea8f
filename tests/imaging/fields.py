"""Fields of polygonal grains for registration: the same outlines under any number of illuminations."""

from functools import cache

import cv2
import numpy as np
from scipy.spatial import cKDTree

from mineralseg.core.transforms import Transform

CANVAS_PX, VIEW_PX = 640, 400
CORNER_PX = (CANVAS_PX - VIEW_PX) // 2
MIDDLE = ((VIEW_PX - 1) / 2, (VIEW_PX - 1) / 2)
_GRAIN_PX = 26


@cache
def _grains(field: int) -> np.ndarray:
    rng = np.random.default_rng(field)
    seeds = rng.uniform(0, CANVAS_PX, ((CANVAS_PX // _GRAIN_PX) ** 2, 2))
    pixels = np.stack(np.meshgrid(np.arange(CANVAS_PX), np.arange(CANVAS_PX)), axis=-1).reshape(-1, 2)
    return cKDTree(seeds).query(pixels)[1].reshape(CANVAS_PX, CANVAS_PX)


@cache
def canvas(field: int, light: int) -> np.ndarray:
    """Brightness (H, W) 0..255 of a field: under another light its grains differ, its dark grit stays."""
    grains = _grains(field)
    level = np.random.default_rng([field, 1, light]).uniform(60, 220, grains.max() + 1)
    grit = cv2.GaussianBlur(np.random.default_rng([field, 2]).normal(size=grains.shape), (0, 0), 2.0)
    bright = level[grains] * np.where(grit > 2.2 * grit.std(), 0.2, 1.0)
    return np.asarray(cv2.GaussianBlur(bright, (0, 0), 0.8))


def placed(
    *, turn_deg: float = 0.0, scale: float = 1.0, shift_xy_px: tuple[float, float] = (0.0, 0.0)
) -> Transform:
    """How a moving view lies on the fixed one, which is the middle of the canvas."""
    return Transform.similarity(
        "moving", "fixed", rotation_deg=turn_deg, scale=scale, shift_xy_px=shift_xy_px, centre_xy_px=MIDDLE
    )


def pictured(bright_HW: np.ndarray, view_to_fixed: Transform) -> np.ndarray:
    """Return what a view placed so shows of a canvas, uint8 (VIEW_PX, VIEW_PX, 1), with noise."""
    onto_canvas = np.eye(3)
    onto_canvas[:2, 2] = CORNER_PX
    seen = cv2.warpAffine(
        bright_HW,
        (onto_canvas @ view_to_fixed.matrix)[:2],
        (VIEW_PX, VIEW_PX),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
    )
    noise = np.random.default_rng(round(float(bright_HW.sum()))).normal(0, 2, seen.shape)
    return np.clip(seen + noise, 0, 255).astype(np.uint8)[..., np.newaxis]


def view(field: int, light: int, view_to_fixed: Transform | None = None) -> np.ndarray:
    """Return a view of a field, uint8 (VIEW_PX, VIEW_PX, 1)."""
    return pictured(canvas(field, light), placed() if view_to_fixed is None else view_to_fixed)


def apart_px(found: Transform, truth: Transform) -> float:
    """Root mean square distance of two transforms where the moving view lies on the fixed one."""
    spots = np.stack(np.meshgrid(np.arange(0, VIEW_PX, 20), np.arange(0, VIEW_PX, 20)), axis=-1)
    moving_xy = spots.reshape(-1, 2).astype(float)
    fixed_xy = truth.apply(moving_xy)
    inside = ((fixed_xy >= 0) & (fixed_xy <= VIEW_PX - 1)).all(axis=1)
    return float(np.sqrt(((found.apply(moving_xy[inside]) - fixed_xy[inside]) ** 2).sum(axis=1).mean()))
