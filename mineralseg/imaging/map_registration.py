"""A coarse categorical map (QEMSCAN, TIMA, micro-XRF) put on an optical image."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mineralseg.core.registration import Bend, Registration
from mineralseg.core.transforms import Transform
from mineralseg.imaging.map_refinement import (
    Fit,
    Subject,
    checkerboard,
    describe_subject,
    explained,
    fit_affine,
    fit_spline,
)
from mineralseg.imaging.map_residual import local_displacements
from mineralseg.imaging.map_search import MapPrior, SearchResult, image_edges, map_edges, search_placement

Refine = Literal["none", "affine", "bspline"]

_SEARCH = "edge correlation"

_AFFINE_SIGMAS_PX = (3.0, 1.5, 1.0)
_SPLINE_SIGMAS_PX = (2.0, 1.0)
_ITERATIONS = 12
_HELD_OUT_ITERATIONS = 6
_KEPT_GAIN = 0.5
"""A bend counts if it keeps this share of its gain where it was not learned."""
_MAX_DEPARTURE_PX = 8.0
_BOARD_SQUARES = 10
_PATCH_PX = 40
_LEAST_PATCHES_A_SIDE = 3
_REACH_PX = 8
_MIN_PLACES = 4
_MIN_PLACES_SHARE = 0.4
_LATTICE = 32
_LEAST_SIGMA_PX = 0.2
_PRESENT = 0.99


def register_map(
    map_HW: NDArray[np.uint8],
    optical_HWC: NDArray[np.uint8],
    *,
    prior: MapPrior,
    refine: Refine,
    min_peak_ratio: float,
    frames: tuple[str, str],
) -> Registration:
    """Return where a coarse map of classes lies on an optical image: map pixels to image pixels.

    The image is brought to map pixels. Edges of both are correlated over all orientations, turns, scales
    and shifts, and the best orientation must stand out against all others. The map is then moved,
    affinely and if told so smoothly bent, until its classes explain the colours best; a step that does
    not explain more is not taken. What is left is measured patch by patch. Cost and memory grow linearly
    with the pixels.

    Args:
        map_HW: class numbers, any; 255 where nothing is known.
        optical_HWC: aligned views of the field, stacked as channels; 0 in all of them is void. Half a map
            pixel a pixel is best: finer adds cost, coarser than a map pixel loses accuracy.
        prior: what is known beforehand; its scale is in pixels of `optical_HWC`.
        refine: how far to go after the search.
        min_peak_ratio: least height of the best orientation over the second best; a wrong map has 1.0-1.3.
        frames: names of the map and of the image.

    Returns:
        A registration whose score is 1 - 1 / peak ratio, whose inliers are the patches that could be
        measured and whose residual is their median distance. The bend lies on pixels of `optical_HWC`.
    """
    image_HWC, valid_HW, onto_optical = _in_map_pixels(optical_HWC, prior.scale)
    found = search_placement(map_edges(map_HW), image_edges(image_HWC, valid_HW), prior)
    if found is None:
        return Registration("refused", "the map or the image shows no boundaries", _SEARCH)
    subject = describe_subject(image_HWC, valid_HW, map_HW)
    start = Fit(found.image_to_map)
    fit, method = start, _SEARCH
    if found.peak_ratio >= min_peak_ratio and refine != "none":
        fit, method = _refined(subject, start, refine)
    displaced, patches = _measured(subject, fit)
    away_px = np.hypot(displaced[:, 0], displaced[:, 1])
    map_to_work = np.linalg.inv(fit.image_to_map)
    scale = float(np.sqrt(abs(np.linalg.det(map_to_work)))) * prior.scale
    reason = _reason(found, min_peak_ratio, len(displaced), patches)
    return Registration(
        "refused" if reason else "accepted",
        reason,
        method,
        moving_to_fixed=Transform(onto_optical @ map_to_work, *frames),
        bend=_bend(fit, optical_HWC.shape[:2], onto_optical),
        residual_px=float(np.median(away_px)) * scale if len(away_px) else None,
        inliers=len(displaced),
        score=max(1 - 1 / max(found.peak_ratio, 1.0), 0.0),
    )


def _refined(subject: Subject, start: Fit, refine: Refine) -> tuple[Fit, str]:
    """Return the best fit that can be shown to explain more than the one before, and how it was found."""
    before = explained(subject, start)
    affine = fit_affine(subject, start, sigmas_px=_AFFINE_SIGMAS_PX, iterations=_ITERATIONS)
    if explained(subject, affine) <= before or _departure_px(subject, start, affine) > _MAX_DEPARTURE_PX:
        return start, _SEARCH
    method = f"{_SEARCH}, classes explain colours (affine)"
    if refine == "affine":
        return affine, method
    bent = fit_spline(subject, affine, sigmas_px=_SPLINE_SIGMAS_PX, iterations=_ITERATIONS)
    gain = explained(subject, bent) - explained(subject, affine)
    too_far = _departure_px(subject, affine, bent) > _MAX_DEPARTURE_PX
    if too_far or _held_out_gain(subject, affine) <= _KEPT_GAIN * max(gain, 0.0):
        return affine, method
    return bent, f"{_SEARCH}, classes explain colours (affine, B-spline)"


def _held_out_gain(subject: Subject, fit: Fit) -> float:
    """Return how much more a bend explains on the squares of a board that it did not learn from.

    A bend that follows noise gains where it was learned and loses on the other squares.
    """
    black_HW = checkerboard(subject.words_HW.shape, squares=_BOARD_SQUARES)
    gains = []
    for learned_HW, held_out_HW in ((black_HW, 1 - black_HW), (1 - black_HW, black_HW)):
        bent = fit_spline(
            subject,
            fit,
            sigmas_px=_SPLINE_SIGMAS_PX[:1],
            iterations=_HELD_OUT_ITERATIONS,
            weight_HW=learned_HW,
        )
        gains.append(explained(subject, bent, held_out_HW) - explained(subject, fit, held_out_HW))
    return sum(gains) / len(gains)


def _departure_px(subject: Subject, one: Fit, other: Fit) -> float:
    """Return how far two fits differ at most, in map pixels, over the pixels that both put on the map."""
    shape = subject.words_HW.shape
    rows, cols = subject.known_HW.shape
    places, others = one.places(shape), other.places(shape)
    inside = ((places >= 0) & (places <= np.array([cols - 1, rows - 1]))).all(axis=2)
    return float(np.linalg.norm(places - others, axis=2)[inside].max(initial=0.0))


def _measured(subject: Subject, fit: Fit) -> tuple[NDArray[np.float64], int]:
    """Return the displacements (n, 2) of patches in map pixels, and how many patches there are."""
    shorter_px = min(*subject.words_HW.shape, *subject.known_HW.shape)
    patch_px = int(np.clip(shorter_px // _LEAST_PATCHES_A_SIDE, 8, _PATCH_PX))
    return local_displacements(subject, fit, patch_px=patch_px, reach_px=_REACH_PX)


def _reason(found: SearchResult, min_peak_ratio: float, places: int, patches: int) -> str:
    """Return why the registration is not to be used, empty if it is."""
    if found.peak_ratio < min_peak_ratio:
        return (
            f"the best orientation fits only {found.peak_ratio:.2f} times as well as the second best, less "
            f"than {min_peak_ratio:g}: another rock, too little overlap or a wrong pixel size"
        )
    if places < max(_MIN_PLACES, _MIN_PLACES_SHARE * patches):
        return f"minerals and colours agree in only {places} of {patches} places"
    return ""


def _bend(fit: Fit, shape: tuple[int, int], onto_optical: NDArray[np.float64]) -> Bend | None:
    """Return the spline of a fit on a lattice over the optical image."""
    if fit.spline is None:
        return None
    height, width = shape
    step_px = max(height - 1, width - 1, 2) / _LATTICE
    knots_x, knots_y = (
        np.arange(int(np.ceil((side - 1) / step_px)) + 1) * step_px for side in (width, height)
    )
    scale, offset = onto_optical[0, 0], onto_optical[0, 2]
    return Bend(step_px, fit.spline.at((knots_x - offset) / scale, (knots_y - offset) / scale))


def _in_map_pixels(
    optical_HWC: NDArray[np.uint8], scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Return an image at one map pixel a pixel, where it is not void (0 or 1), and the 3x3 way back."""
    height, width = optical_HWC.shape[:2]
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    onto_optical = Transform.reduction("optical", factor=scale).matrix
    sigma_px = 0.45 * np.sqrt(max(scale**2 - 1, 0))

    def resampled(plane_HW: NDArray[np.float32]) -> NDArray[np.float32]:
        smooth = cv2.GaussianBlur(plane_HW, (0, 0), sigma_px) if sigma_px > _LEAST_SIGMA_PX else plane_HW
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(smooth, onto_optical[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE),
            np.float32,
        )

    bands = [resampled(optical_HWC[..., band].astype(np.float32)) for band in range(optical_HWC.shape[2])]
    present = resampled(np.asarray(optical_HWC.max(axis=2) > 0, np.float32))
    return np.stack(bands, axis=2), (present > _PRESENT).astype(np.float32), onto_optical
