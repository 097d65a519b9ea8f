"""Prediction of an image of any height as a stream of strips, with bounded memory.

Tiles of one row are predicted, blended with their neighbours by a raised cosine and summed; rows that no
later tile touches are given out. Memory holds one row of tiles, whatever the height of the slide.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.core.geometry import mirrored, tile_starts
from mineralseg.imaging.resample import area_mean, enlarge

_STRIP_ROWS = 64
_STRIP_VALUES = 4_000_000


class RowSource(Protocol):
    """Anything with full-width rows: an open slide, a memory-mapped copy, an array."""

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def width(self) -> int:
        """Columns."""

    def read_rows(self, row: int, height: int) -> NDArray[np.uint8]:
        """Return rows `row .. row + height` as uint8 (height, width, channels)."""


@dataclass(frozen=True)
class Tiling:
    """How an image is cut: tile and overlap in working pixels, tiles per forward pass, reduction."""

    tile_px: int
    overlap_px: int
    batch_size: int
    downsample: int
    views: Literal[1, 4, 8]


@dataclass(frozen=True)
class Strip:
    """Finished native rows: class indices and probability of the chosen class, both (rows, width)."""

    row: int
    classes_HW: NDArray[np.uint8]
    confidence_HW: NDArray[np.float32]


Classifier = Callable[[Tensor], Tensor]
"""Maps grey levels (B, channels, H, W) to class probabilities (B, classes, H, W)."""


def classifier(network: nn.Module, *, channels: int, views: Literal[1, 4, 8]) -> Classifier:
    """Return the function from grey levels to probabilities, on the network's device.

    A stack with more channels than the network takes is several views, each classified by itself, and
    their probabilities averaged. `views` mirrors (4) and turns (8) of each tile are averaged too.
    """
    device = next(network.parameters()).device

    @torch.inference_mode()
    def classify(image_BCHW: Tensor) -> Tensor:
        batch, total, height, width = image_BCHW.shape
        images = image_BCHW.to(device).float().reshape(batch * (total // channels), channels, height, width)
        summed = torch.zeros(())
        for number in range(views):
            turned = _turn(images, number)
            summed = summed.to(device) + _turn_back(network(turned).softmax(dim=1), number)
        mean = (summed / views).reshape(batch, total // channels, -1, height, width).mean(dim=1)
        return mean.cpu()

    return classify


def predict_strips(
    source: RowSource,
    classify: Classifier,
    *,
    classes: int,
    tiling: Tiling,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Strip]:
    """Yield the class map of `source` in strips from top to bottom, each native row exactly once.

    Args:
        source: native rows, uint8.
        classify: gives probabilities of tiles.
        classes: number of classes.
        tiling: tile size, overlap, batch, reduction.
        progress: called with working rows done and in all.
    """
    enlarger = _Enlarger(tiling.downsample, source.height, source.width)
    total = -(-source.height // tiling.downsample)
    done = 0
    for probabilities in _blend_rows(source, classify, classes=classes, tiling=tiling):
        yield from enlarger.push(probabilities)
        done += probabilities.shape[1]
        progress(done, total)
    yield from enlarger.finish()


def score(strips: Iterator[Strip], labels_HW: NDArray[np.uint8], *, classes: int) -> ConfusionMatrix:
    """Return the counts of predicted strips against labels of the same size (class indices, void 255)."""
    total = ConfusionMatrix.zero(classes)
    for strip in strips:
        truth = labels_HW[strip.row : strip.row + len(strip.classes_HW)]
        total += ConfusionMatrix.of(np.asarray(truth), strip.classes_HW, classes=classes)
    return total


def _blend_rows(
    source: RowSource, classify: Classifier, *, classes: int, tiling: Tiling
) -> Iterator[NDArray[np.float32]]:
    """Yield finished working rows of probabilities (classes, rows, width)."""
    factor, tile = tiling.downsample, tiling.tile_px
    height, width = -(-source.height // factor), -(-source.width // factor)
    stride = tile - tiling.overlap_px
    tops, lefts = tile_starts(height, tile, stride), tile_starts(width, tile, stride)
    ramp = _ramp(tile, tiling.overlap_px)
    column_weight = np.zeros(max(width, tile), np.float32)
    for left in lefts:
        column_weight[left : left + tile] += ramp
    sums = np.zeros((classes, tile, max(width, tile)), np.float32)
    row_weight = np.zeros(tile, np.float32)
    rows = _WorkingRows(source, factor, tile)
    for number, top in enumerate(tops):
        band = rows.read(top)
        for left, probabilities in _classify_band(band, lefts, classify, tile, tiling.batch_size):
            sums[:, :, left : left + tile] += probabilities * (ramp[:, None] * ramp)
        row_weight += ramp
        ready = (tops[number + 1] if number + 1 < len(tops) else height) - top
        weight = row_weight[:ready, None] * column_weight
        yield (sums[:, :ready] / weight)[:, :, :width]
        sums = np.concatenate(
            [sums[:, ready:], np.zeros((classes, ready, sums.shape[2]), np.float32)], axis=1
        )
        row_weight = np.concatenate([row_weight[ready:], np.zeros(ready, np.float32)])


def _classify_band(
    band_HWC: NDArray[np.uint8], lefts: list[int], classify: Classifier, tile: int, batch_size: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the left edge and the probabilities (classes, tile, tile) of each tile in one row of tiles."""
    for start in range(0, len(lefts), batch_size):
        chosen = lefts[start : start + batch_size]
        tiles = np.stack([band_HWC[:, left : left + tile].transpose(2, 0, 1) for left in chosen])
        yield from zip(chosen, classify(torch.from_numpy(tiles)).numpy(), strict=True)


class _WorkingRows:
    """Bands of `tile` working rows of a source; rows that two bands share are read once."""

    def __init__(self, source: RowSource, factor: int, tile: int) -> None:
        self._source, self._factor, self._tile = source, factor, tile
        self._height = -(-source.height // factor)
        self._top, self._band = 0, np.zeros((0, 0, 0), np.uint8)

    def read(self, top: int) -> NDArray[np.uint8]:
        """Return rows top .. top + tile, mirrored below and right where the image is smaller than a tile."""
        stop = min(top + self._tile, self._height)
        known = self._top + len(self._band)
        parts = [self._band[top - self._top :]] if top < known else []
        parts += [self._reduced(row, min(row + _STRIP_ROWS, stop)) for row in range(known, stop, _STRIP_ROWS)]
        self._top, self._band = top, np.concatenate(parts)
        missing = [max(0, self._tile - length) for length in self._band.shape[:2]]
        if not any(missing):
            return self._band
        rows, cols = (
            mirrored(np.arange(length + extra), length)
            for length, extra in zip(self._band.shape, missing, strict=False)
        )
        return self._band[np.ix_(rows, cols)]

    def _reduced(self, row: int, stop: int) -> NDArray[np.uint8]:
        low, high = row * self._factor, min(stop * self._factor, self._source.height)
        return area_mean(self._source.read_rows(low, high - low), factor=self._factor)


class _Enlarger:
    """Turns working rows of probabilities into native rows of classes; keeps one row back for bilinearity."""

    def __init__(self, factor: int, height: int, width: int) -> None:
        self._factor, self._height, self._width = factor, height, width
        self._held: NDArray[np.float32] | None = None  # the last row given out, and the one not yet
        self._row = 0

    def push(self, rows_CHW: NDArray[np.float32]) -> Iterator[Strip]:
        """Take finished working rows; yield all native rows that are then determined."""
        if self._factor == 1:
            yield from self._strips(rows_CHW, 0, rows_CHW.shape[1])
            return
        block = rows_CHW if self._held is None else np.concatenate([self._held, rows_CHW], axis=1)
        first = 0 if self._held is None or self._held.shape[1] == 1 else 1
        yield from self._strips(block, first, block.shape[1] - 1)
        self._held = block[:, -2:]

    def finish(self) -> Iterator[Strip]:
        """Yield the native rows of the last working row."""
        if self._held is not None:
            yield from self._strips(self._held, self._held.shape[1] - 1, self._held.shape[1])

    def _strips(self, block_CHW: NDArray[np.float32], start: int, stop: int) -> Iterator[Strip]:
        """Yield native rows of block rows start .. stop, with their neighbours as context."""
        step = max(1, _STRIP_VALUES // (self._factor**2 * block_CHW.shape[2] * block_CHW.shape[0]))
        for low in range(start, stop, step):
            high = min(low + step, stop)
            above, below = max(low - 1, 0), min(high + 1, block_CHW.shape[1])
            fine = enlarge(block_CHW[:, above:below], factor=self._factor)
            skip, rows = (low - above) * self._factor, (high - low) * self._factor
            rows = min(rows, self._height - self._row)
            native = fine[:, skip : skip + rows, : self._width]
            yield Strip(self._row, native.argmax(axis=0).astype(np.uint8), native.max(axis=0))
            self._row += rows


def _ramp(tile: int, overlap: int) -> NDArray[np.float32]:
    """Return the blending weight along one side: raised cosine over the overlap, 1 between, never 0."""
    rise = np.sin(0.5 * np.pi * (np.arange(overlap) + 0.5) / max(overlap, 1)) ** 2
    ramp = np.ones(tile)
    ramp[:overlap], ramp[tile - overlap :] = rise, rise[::-1]
    return ramp.astype(np.float32)


def _turn(images: Tensor, number: int) -> Tensor:
    """Return element `number` of the eight symmetries of the square: mirrors first, then the turned ones."""
    if number & 4:
        images = images.transpose(-1, -2)
    return images.flip([-1] if number & 1 else []).flip([-2] if number & 2 else [])


def _turn_back(images: Tensor, number: int) -> Tensor:
    """Undo `_turn`."""
    images = images.flip([-2] if number & 2 else []).flip([-1] if number & 1 else [])
    return images.transpose(-1, -2) if number & 4 else images
