"""A registration from places that a person marked in both images."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mineralseg.core.registration import Registration
from mineralseg.imaging.landmarks import register_landmarks
from mineralseg.io.landmarks import read_landmarks


def register_marked_places(
    landmarks: Path,
    *,
    moving_size_px: tuple[int, int],
    fixed_size_px: tuple[int, int],
    scale: float | None,
    max_scale_change: float,
    frames: tuple[str, str],
) -> Registration:
    """Return how a moving image lies on a fixed one by the places in a CSV.

    Args:
        landmarks: the CSV (`read_landmarks`).
        moving_size_px: width and height of the moving image.
        fixed_size_px: width and height of the fixed image.
        scale: fixed pixels a moving pixel, by the pixel sizes; None when one of them is unknown.
        max_scale_change: largest relative departure from it.
        frames: names of the moving and of the fixed image.

    Returns:
        Refused when the places contradict each other or lie outside; the reason counts rows from 1.

    Raises:
        ConfigurationError: the CSV is not one of landmarks.
    """
    marked = read_landmarks(landmarks)
    beyond = ((marked.moving_xy < -0.5) | (marked.moving_xy > np.array(moving_size_px) - 0.5)).any(axis=1)
    if beyond.any():
        row = int(np.flatnonzero(beyond)[0])
        x, y = marked.moving_xy[row].tolist()
        reason = (
            f"place {row + 1} of {landmarks.name} is at ({x:g}, {y:g}), outside a moving image of "
            f"{moving_size_px[0]} x {moving_size_px[1]} px"
        )
        return Registration("refused", reason, "landmarks")
    found = register_landmarks(
        marked.moving_xy,
        marked.fixed_xy,
        fixed_size_px=fixed_size_px,
        bend=True,
        frames=frames,
    )
    if scale is None or found.scale is None or found.verdict == "refused":
        return found
    if abs(found.scale / scale - 1) > max_scale_change:
        reason = (
            f"by the places of {landmarks.name} a moving pixel spans {found.scale:.3g} fixed ones, "
            f"by the pixel sizes {scale:.3g}; are the columns of the two images exchanged?"
        )
        return replace(found, verdict="refused", reason=reason)
    return found
