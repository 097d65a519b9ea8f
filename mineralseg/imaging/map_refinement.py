"""A coarse map fitted to an optical image: moved until its classes explain the colours best."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE
from mineralseg.imaging.color_words import Words, color_words
from mineralseg.imaging.map_search import without_specks
from mineralseg.imaging.spline_mesh import MESH, Spline, bending_form, cubic_splines

_MOST_CLASSES = 24
_MIN_COUNT = 10.0
_STRIP_ROWS = 64
_CONVERGED_PX = 0.01
_STIFFNESS = 0.3

Image = NDArray[np.float32]
Matrix = NDArray[np.float64]
Basis = Callable[[slice], Matrix]
"""Gives the values (pixels, functions) of some functions at the pixels of rows of an image."""


@dataclass(frozen=True)
class Subject:
    """What is laid on what: colour words of an image, and the classes of a map, at one resolution.

    `words_HW` numbers similar colours; `valid_HW` (0..1) says which pixels of the image count;
    `classes_CHW` are 1 where the map has the class, `known_HW` 1 where it is not void.
    """

    words_HW: Words
    valid_HW: Image
    classes_CHW: Image
    known_HW: Image


@dataclass(frozen=True)
class Fit:
    """Where image pixels lie in the map: `image_to_map` (3x3), and perhaps a spline on top."""

    image_to_map: Matrix
    spline: Spline | None = None

    def places(self, shape: tuple[int, int]) -> Image:
        """Return the map coordinates (H, W, 2) of every pixel of an image."""
        down, across = np.arange(shape[0], dtype=np.float64), np.arange(shape[1], dtype=np.float64)
        linear, shift = self.image_to_map[:2, :2], self.image_to_map[:2, 2]
        places = across[None, :, None] * linear[:, 0] + (down[:, None, None] * linear[:, 1] + shift)
        if self.spline is not None:
            places = places + self.spline.at(across, down)
        return np.asarray(places, np.float32)


def describe_subject(image_HWC: Image, valid_HW: Image, classes_HW: NDArray[np.uint8]) -> Subject:
    """Return colours as words (k-means of all channels) and the map without specks as class images."""
    values, counts = np.unique(classes_HW[classes_HW != IGNORE], return_counts=True)
    common = values[np.argsort(-counts, kind="stable")][:_MOST_CLASSES]
    cleaned = without_specks(classes_HW)
    return Subject(
        color_words(image_HWC, valid_HW),
        valid_HW,
        np.stack([(cleaned == value).astype(np.float32) for value in common.tolist()]),
        (classes_HW != IGNORE).astype(np.float32),
    )


def explained(subject: Subject, fit: Fit, weight_HW: Image | None = None) -> float:
    """Return which share (0..1) of the variance of the map's classes the colours explain under a fit.

    This is the correlation ratio (Roche et al. 1998, doi:10.1007/BFb0056301) of class indicators given
    colours, which for two categories is the tau of Goodman & Kruskal 1954 (doi:10.2307/2281536). Unlike
    mutual information it has a least-squares form, and a wrong class costs no more than 1.
    """
    laid_CHW, weight = lay(subject, fit, sigma_px=0.0, weight_HW=weight_HW)
    expected = expected_classes(subject.words_HW, laid_CHW, weight)
    total = max(float(weight.sum()), 1e-6)
    mean = (laid_CHW * weight).sum(axis=(1, 2), keepdims=True) / total
    spread = float((weight * (laid_CHW - mean) ** 2).sum())
    return 1 - float((weight * (laid_CHW - expected) ** 2).sum()) / spread if spread > 0 else 0.0


def fit_affine(subject: Subject, fit: Fit, *, sigmas_px: Sequence[float], iterations: int) -> Fit:
    """Return the fit with its affine part moved to where colours explain the classes best.

    Gauss-Newton on the residual of `explained`: colours are turned into expected classes under the
    current fit, and the map is moved towards that picture, both blurred by falling `sigmas_px`. The
    expectation is itself a minimiser, so that the gradient need not pass through it. The basin is about
    the radius of a grain.
    """
    height, width = subject.words_HW.shape
    half = max(height, width) / 2
    centre = np.array([(width - 1) / 2, (height - 1) / 2])

    def basis(rows: slice) -> Matrix:
        down, across = np.mgrid[rows, :width]
        return np.column_stack(
            [np.ones(down.size), (across.ravel() - centre[0]) / half, (down.ravel() - centre[1]) / half]
        )

    for sigma_px in sigmas_px:
        for _ in range(iterations):
            change = _newton_step(subject, fit, basis, sigma_px=sigma_px)
            matrix = fit.image_to_map.copy()
            linear = change[1:].T / half
            matrix[:2, :2] += linear
            matrix[:2, 2] += change[0] - linear @ centre
            fit = replace(fit, image_to_map=matrix)
            if np.abs(change).max() < _CONVERGED_PX:
                break
    return fit


def fit_spline(
    subject: Subject, fit: Fit, *, sigmas_px: Sequence[float], iterations: int, weight_HW: Image | None = None
) -> Fit:
    """Return the fit with smooth displacements on top: cubic B-splines on a mesh of 4 x 4 intervals.

    Free-form deformation as of Rueckert et al. 1999 (doi:10.1109/42.796284), by the steps of `fit_affine`;
    second differences of neighbouring coefficients are penalised, so that the mesh bends only as far as
    the classes say, and affine motion is free.

    Args:
        subject: what is laid on what.
        fit: where to start.
        sigmas_px: blurs, falling.
        iterations: most steps for each blur.
        weight_HW: 0..1, which pixels may be used; None for all.
    """
    height, width = subject.words_HW.shape
    box = _overlap_box(subject, fit)
    side = MESH + 3
    by_x = cubic_splines((np.arange(width) - box[0]) / (box[2] - box[0]))
    by_y = cubic_splines((np.arange(height) - box[1]) / (box[3] - box[1]))

    def basis(rows: slice) -> Matrix:
        functions: Matrix = np.einsum("yi,xj->yxij", by_y[rows], by_x).reshape(-1, side * side)
        return functions

    coefficients = np.zeros((side, side, 2))
    for sigma_px in sigmas_px:
        for _ in range(iterations):
            fit = replace(fit, spline=Spline(box, coefficients))
            change = _newton_step(
                subject,
                fit,
                basis,
                sigma_px=sigma_px,
                weight_HW=weight_HW,
                bent=coefficients.reshape(-1, 2),
            ).reshape(side, side, 2)
            coefficients = coefficients + change
            if np.abs(change).max() < _CONVERGED_PX:
                break
    return replace(fit, spline=Spline(box, coefficients))


def checkerboard(shape: tuple[int, int], *, squares: int) -> Image:
    """Return 1 on the black and 0 on the white squares of a board with `squares` on the longer side."""
    side = max(shape) / squares
    down, across = np.ogrid[: shape[0], : shape[1]]
    black: Image = ((down // side + across // side) % 2 < 1).astype(np.float32)
    return black


def _newton_step(
    subject: Subject,
    fit: Fit,
    basis: Basis,
    *,
    sigma_px: float,
    weight_HW: Image | None = None,
    bent: Matrix | None = None,
) -> Matrix:
    """Return the change (functions, 2), in map pixels, of the coefficients of a basis.

    `bent` are the present coefficients of a spline, whose bending is penalised.
    """
    sharp_CHW, weight = lay(subject, fit, sigma_px=0.0, weight_HW=weight_HW)
    expected_CHW = blurred(expected_classes(subject.words_HW, sharp_CHW, weight), sigma_px)
    laid_CHW, weight = lay(subject, fit, sigma_px=sigma_px, weight_HW=weight_HW)
    total = max(float(weight.sum()), 1e-6)
    expected_CHW, laid_CHW = (
        stack - (stack * weight).sum(axis=(1, 2), keepdims=True) / total for stack in (expected_CHW, laid_CHW)
    )
    energy = float((weight * laid_CHW**2).sum())
    contrast = max(float((weight * expected_CHW * laid_CHW).sum()) / max(energy, 1e-6), 0.05)
    residual = expected_CHW / contrast - laid_CHW
    down, across = np.gradient(laid_CHW, axis=(1, 2))
    onto_map = np.linalg.inv(fit.image_to_map[:2, :2]).astype(np.float32)
    slope_x = across * onto_map[0, 0] + down * onto_map[1, 0]
    slope_y = across * onto_map[0, 1] + down * onto_map[1, 1]
    products = {
        name: weight * np.einsum("kyx,kyx->yx", one, other)
        for name, one, other in (
            ("xx", slope_x, slope_x),
            ("xy", slope_x, slope_y),
            ("yy", slope_y, slope_y),
            ("x", slope_x, residual),
            ("y", slope_y, residual),
        )
    }
    return _solved(basis, products, bent)


def _solved(basis: Basis, products: dict[str, Image], bent: Matrix | None) -> Matrix:
    """Return the solution (functions, 2) of the normal equations, gathered a strip of rows at a time."""
    count = basis(slice(0, 1)).shape[1]
    normal, right = np.zeros((2, count, 2, count)), np.zeros((2, count))
    for strip in _strips(len(products["xx"])):
        functions = basis(strip)
        part = {name: product[strip].reshape(-1, 1) for name, product in products.items()}
        mixed = functions.T @ (part["xy"] * functions)
        normal[0, :, 0] += functions.T @ (part["xx"] * functions)
        normal[1, :, 1] += functions.T @ (part["yy"] * functions)
        normal[0, :, 1] += mixed
        normal[1, :, 0] += mixed
        right[0] += (functions.T @ part["x"])[:, 0]
        right[1] += (functions.T @ part["y"])[:, 0]
    matrix = normal.reshape(2 * count, 2 * count)
    usual = float(np.trace(matrix)) / (2 * count)
    if bent is not None:
        stiff = _STIFFNESS * usual * bending_form(round(count**0.5))
        for axis in (0, 1):
            block = slice(axis * count, (axis + 1) * count)
            matrix[block, block] += stiff
            right[axis] -= stiff @ bent[:, axis]
    matrix[np.diag_indices_from(matrix)] += 1e-6 * max(usual, 1e-6)
    return np.linalg.solve(matrix, right.ravel()).reshape(2, count).T.astype(np.float64)


def lay(subject: Subject, fit: Fit, *, sigma_px: float, weight_HW: Image | None) -> tuple[Image, Image]:
    """Return the map's classes (C, H, W) on the image's pixels, and the weight (H, W) of every pixel."""
    places = fit.places(subject.words_HW.shape)
    known = _sampled(subject.known_HW, places)
    weight = np.where(known > 0.99, subject.valid_HW, 0).astype(np.float32)
    if weight_HW is not None:
        weight *= weight_HW
    classes = subject.classes_CHW if sigma_px == 0 else blurred(subject.classes_CHW, sigma_px)
    return np.stack([_sampled(one, places) for one in classes]), weight


def expected_classes(words_HW: Words, laid_CHW: Image, weight_HW: Image) -> Image:
    """Return the mean class indicators of all pixels that have the same colour word, (C, H, W)."""
    words, weight = words_HW.ravel(), weight_HW.ravel()
    count = int(words.max()) + 1
    total = np.bincount(words, weight, count)
    everywhere = max(float(weight.sum()), 1e-6)
    expected = np.empty_like(laid_CHW)
    for index, laid in enumerate(laid_CHW):
        present = np.bincount(words, weight * laid.ravel(), count)
        share = float(present.sum()) / everywhere
        table = (present + _MIN_COUNT * share) / (total + _MIN_COUNT)
        expected[index] = table.astype(np.float32)[words_HW]
    return expected


def _overlap_box(subject: Subject, fit: Fit) -> tuple[float, float, float, float]:
    """Return the box (x0, y0, x1, y1) of the image's pixels that have a class."""
    _, weight = lay(replace(subject, classes_CHW=subject.classes_CHW[:1]), fit, sigma_px=0.0, weight_HW=None)
    rows, cols = np.flatnonzero(weight.any(axis=1)), np.flatnonzero(weight.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, 1.0, 1.0
    x0, y0 = float(cols[0]), float(rows[0])
    return x0, y0, max(float(cols[-1]), x0 + 1), max(float(rows[-1]), y0 + 1)


def _sampled(image_HW: Image, places: Image) -> Image:
    x, y = np.moveaxis(places, 2, 0)
    return np.asarray(cv2.remap(image_HW, x, y, cv2.INTER_LINEAR), np.float32)


def blurred(stack_CHW: Image, sigma_px: float) -> Image:
    """Return images (n, H, W), each blurred by a Gaussian."""
    return np.stack([cv2.GaussianBlur(one, (0, 0), sigma_px) for one in stack_CHW])


def _strips(height: int) -> Iterator[slice]:
    return (slice(start, min(start + _STRIP_ROWS, height)) for start in range(0, height, _STRIP_ROWS))
