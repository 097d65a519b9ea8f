from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.core.legend import IGNORE
from mineralseg.engine import predict
from mineralseg.engine.predict import Classifier, Strip, Tiling, classifier, predict_strips, score
from mineralseg.imaging.resample import area_mean, enlarge
from tests.laws import FEW, LAW

CLASSES, CHANNELS = 3, 2
Probabilities = NDArray[np.float32]


@dataclass
class ArraySource:
    """Rows of an array; remembers which were asked for."""

    image_HWC: NDArray[np.uint8]
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def height(self) -> int:
        return len(self.image_HWC)

    @property
    def width(self) -> int:
        return int(self.image_HWC.shape[1])

    def read_rows(self, row: int, height: int) -> NDArray[np.uint8]:
        assert 0 <= row < row + height <= self.height
        self.asked.append((row, height))
        return self.image_HWC[row : row + height]


def _image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, CHANNELS), np.uint8)


def _by_colour(images_BCHW: Tensor) -> Tensor:
    """Classify every pixel by its own colour alone."""
    grey = images_BCHW.double() / 255
    logits = torch.stack([4 * grey[:, 0], 4 * grey[:, 1], 5 - 3 * grey[:, 0] - 3 * grey[:, 1]], dim=1)
    return logits.softmax(dim=1).float()


def _tiling(
    *, tile: int, overlap: int, batch: int = 3, downsample: int = 1, views: Literal[1, 4, 8] = 1
) -> Tiling:
    return Tiling(tile, overlap, batch, downsample, views)


def _strips(image: NDArray[np.uint8], classify: Classifier, tiling: Tiling) -> list[Strip]:
    return list(predict_strips(ArraySource(image), classify, classes=CLASSES, tiling=tiling))


def _joined(strips: list[Strip]) -> tuple[NDArray[np.uint8], Probabilities]:
    return (
        np.concatenate([strip.classes_HW for strip in strips]),
        np.concatenate([strip.confidence_HW for strip in strips]),
    )


def _check_against(strips: list[Strip], expected_CHW: NDArray[np.floating]) -> None:
    """Compare with the probabilities of the whole image; where two classes are level either will do."""
    classes, confidence = _joined(strips)
    assert classes.shape == expected_CHW.shape[1:]
    np.testing.assert_allclose(confidence, expected_CHW.max(axis=0), atol=2e-5)
    second, first = np.sort(expected_CHW, axis=0)[-2:]
    clear = first - second > 1e-4
    assert np.array_equal(classes[clear], expected_CHW.argmax(axis=0)[clear])
    assert clear.mean() > 0.8


def _directly(image: NDArray[np.uint8], downsample: int) -> Probabilities:
    """Return the probabilities of the whole image in one go, without tiles and strips."""
    reduced = area_mean(image, factor=downsample)
    (probabilities,) = _by_colour(torch.from_numpy(reduced.transpose(2, 0, 1)[None])).numpy()
    return enlarge(probabilities, factor=downsample)[:, : len(image), : image.shape[1]]


@st.composite
def cuts(draw: st.DrawFn) -> Tiling:
    tile = draw(st.sampled_from([4, 7, 8, 16]))
    return _tiling(
        tile=tile,
        overlap=draw(st.integers(0, tile // 2)),
        batch=draw(st.integers(1, 5)),
        downsample=draw(st.integers(1, 4)),
    )


SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))


@LAW
@given(size=SIZES, tiling=cuts())
def test_pixels_that_are_judged_by_themselves_come_out_as_without_tiles(
    size: tuple[int, int], tiling: Tiling
) -> None:
    image = _image(*size)
    _check_against(_strips(image, _by_colour, tiling), _directly(image, tiling.downsample))


@pytest.mark.parametrize("downsample", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (63, 64), (64, 64), (65, 150), (300, 90)])
def test_tiles_of_a_usual_size_too(size: tuple[int, int], downsample: int) -> None:
    image = _image(*size)
    tiling = _tiling(tile=64, overlap=16, downsample=downsample)
    _check_against(_strips(image, _by_colour, tiling), _directly(image, downsample))


@pytest.mark.parametrize("size", [(1, 300), (10, 130), (300, 5), (129, 128)])
def test_tiles_taller_than_what_is_read_at_once_too(size: tuple[int, int]) -> None:
    image = _image(*size)
    _check_against(_strips(image, _by_colour, _tiling(tile=128, overlap=32)), _directly(image, 1))


@LAW
@given(size=SIZES, tiling=cuts())
def test_every_native_row_is_given_out_once_from_top_to_bottom(size: tuple[int, int], tiling: Tiling) -> None:
    done, progress = 0, []
    source = ArraySource(_image(*size))
    for strip in predict_strips(
        source,
        _by_colour,
        classes=CLASSES,
        tiling=tiling,
        progress=lambda n, total: progress.append((n, total)),
    ):
        assert strip.row == done
        assert strip.classes_HW.shape == strip.confidence_HW.shape
        assert strip.classes_HW.shape[1] == size[1]
        assert len(strip.classes_HW) > 0
        done += len(strip.classes_HW)
    assert done == size[0]
    working_rows = -(-size[0] // tiling.downsample)
    assert progress[-1] == (working_rows, working_rows)
    assert progress == sorted(progress)


@LAW
@given(size=SIZES, tiling=cuts())
def test_every_row_is_read_once(size: tuple[int, int], tiling: Tiling) -> None:
    source = ArraySource(_image(*size))
    list(predict_strips(source, _by_colour, classes=CLASSES, tiling=tiling))
    read = [row for start, height in source.asked for row in range(start, start + height)]
    assert read == list(range(size[0]))


@pytest.mark.parametrize("downsample", [1, 3])
def test_a_tall_image_is_neither_read_nor_held_as_a_whole(downsample: int) -> None:
    source = ArraySource(np.zeros((3000, 20, CHANNELS), np.uint8))
    ahead = 0
    for strip in predict_strips(
        source, _by_colour, classes=CLASSES, tiling=_tiling(tile=32, overlap=8, downsample=downsample)
    ):
        last_row, last_height = source.asked[-1]
        ahead = max(ahead, last_row + last_height - strip.row)
    assert max(height for _, height in source.asked) <= 64 * downsample
    assert ahead <= (2 * 32 + 2) * downsample


@pytest.mark.parametrize(
    "tiling", [_tiling(tile=16, overlap=o, downsample=d) for o in (0, 5, 8) for d in (1, 2, 3)]
)
def test_an_even_field_shows_no_seam(tiling: Tiling) -> None:
    def even(images: Tensor) -> Tensor:
        return torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1).expand(len(images), 3, *images.shape[2:])

    classes, confidence = _joined(_strips(_image(70, 61), even, tiling))
    assert (classes == 1).all()
    np.testing.assert_allclose(confidence, 0.5, atol=1e-6)


def test_the_number_of_tiles_a_batch_does_not_matter() -> None:
    image = _image(90, 130)
    results = [
        _joined(_strips(image, _by_place, _tiling(tile=16, overlap=4, batch=batch)))
        for batch in (1, 2, 7, 1000)
    ]
    for classes, confidence in results[1:]:
        assert np.array_equal(classes, results[0][0])
        assert np.array_equal(confidence, results[0][1])


def test_small_strips_make_the_same_map(monkeypatch: pytest.MonkeyPatch) -> None:
    image = _image(90, 50)
    tiling = _tiling(tile=16, overlap=4, downsample=3)
    whole = _joined(_strips(image, _by_colour, tiling))
    monkeypatch.setattr(predict, "_STRIP_VALUES", 1)
    strips = _strips(image, _by_colour, tiling)
    assert max(len(strip.classes_HW) for strip in strips) == 3
    assert np.array_equal(_joined(strips)[0], whole[0])
    np.testing.assert_allclose(_joined(strips)[1], whole[1], atol=1e-6)


# Blending, against a slow sum over all tiles in double precision


def _by_place(images_BCHW: Tensor) -> Tensor:
    """Classify by colour and by the place within the tile, as a network does near the edges of its view."""
    tile = images_BCHW.shape[-1]
    place = torch.linspace(-2, 2, tile)
    bias = torch.stack([place[:, None].expand(tile, tile), place.expand(tile, tile), -place * place[:, None]])
    return (_by_colour(images_BCHW).log() + bias).softmax(dim=1)


def _starts(length: int, tile: int, stride: int) -> list[int]:
    starts = [0]
    while starts[-1] + tile < length:
        starts.append(min(starts[-1] + stride, length - tile))
    return starts


def _blended_slowly(image: NDArray[np.uint8], tile: int, overlap: int) -> NDArray[np.float64]:
    height, width, _ = image.shape
    below, right = max(tile - height, 0), max(tile - width, 0)
    full = np.pad(image, ((0, below), (0, right), (0, 0)), mode="reflect")
    sums, weights = np.zeros((CLASSES, *full.shape[:2])), np.zeros(full.shape[:2])

    def rise(depth: int) -> float:
        """Return the weight of a pixel with `depth` pixels between it and the edge of its tile."""
        return 0.5 - 0.5 * np.cos(np.pi * (depth + 0.5) / overlap) if depth < overlap else 1.0

    side = np.array([min(rise(place), rise(tile - 1 - place)) for place in range(tile)])
    for top in _starts(height, tile, tile - overlap):
        for left in _starts(width, tile, tile - overlap):
            cut = full[top : top + tile, left : left + tile].transpose(2, 0, 1)[None]
            (probabilities,) = _by_place(torch.from_numpy(cut.copy())).numpy()
            sums[:, top : top + tile, left : left + tile] += probabilities * np.outer(side, side)
            weights[top : top + tile, left : left + tile] += np.outer(side, side)
    return (sums / weights)[:, :height, :width]


@FEW
@given(size=SIZES, tiling=cuts())
def test_overlaps_are_blended_as_by_a_slow_sum_over_all_tiles(size: tuple[int, int], tiling: Tiling) -> None:
    image = _image(*size)
    tile, overlap = tiling.tile_px, tiling.overlap_px
    strips = _strips(image, _by_place, _tiling(tile=tile, overlap=overlap, batch=tiling.batch_size))
    _check_against(strips, _blended_slowly(image, tile, overlap))


@pytest.mark.parametrize("overlap", range(9))
def test_two_neighbours_share_their_overlap_wholly(overlap: int) -> None:
    ramp = predict._ramp(16, overlap)
    assert (ramp > 0).all()
    np.testing.assert_allclose(ramp, ramp[::-1])
    np.testing.assert_allclose(ramp[16 - overlap :] + ramp[:overlap], 1, atol=1e-6)


# Views


@pytest.fixture
def network() -> torch.nn.Module:
    """Return a small network whose answer depends on the direction in which a tile is looked at."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(CHANNELS, 4, 3, padding=1), torch.nn.Tanh(), torch.nn.Conv2d(4, CLASSES, 3, padding=1)
    ).eval()


def _tiles(number: int = 2, channels: int = CHANNELS) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (number, channels, 8, 8), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("number", range(8))
def test_a_turned_view_is_turned_back(number: int) -> None:
    tiles = _tiles()
    assert torch.equal(predict._turn_back(predict._turn(tiles, number), number), tiles)


def test_the_eight_views_are_the_symmetries_of_the_square() -> None:
    tile = torch.arange(16).view(4, 4)
    seen = {tuple(predict._turn(tile, number).flatten().tolist()) for number in range(8)}
    turns = [torch.rot90(tile, quarter) for quarter in range(4)]
    assert seen == {tuple(each.flatten().tolist()) for turn in turns for each in (turn, turn.T)}
    mirrors = {tuple(predict._turn(tile, number).flatten().tolist()) for number in range(4)}
    assert mirrors == {tuple(tile.flip(dims).flatten().tolist()) for dims in ([], [0], [1], [0, 1])}


@pytest.mark.parametrize("views", [1, 4, 8])
def test_probabilities_are_probabilities(network: torch.nn.Module, views: Literal[1, 4, 8]) -> None:
    probabilities = classifier(network, channels=CHANNELS, views=views)(_tiles())
    assert probabilities.shape == (2, CLASSES, 8, 8)
    assert probabilities.dtype == torch.float32
    assert (probabilities > 0).all()
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, 8, 8))


@pytest.mark.parametrize("views", [4, 8])
def test_a_classifier_blind_to_direction_gains_nothing_from_views(views: Literal[4, 8]) -> None:
    torch.manual_seed(0)
    pointwise = torch.nn.Conv2d(CHANNELS, CLASSES, 1)
    once = classifier(pointwise, channels=CHANNELS, views=1)(_tiles())
    averaged = classifier(pointwise, channels=CHANNELS, views=views)(_tiles())
    torch.testing.assert_close(averaged, once)


def test_with_eight_views_the_stage_may_be_turned(network: torch.nn.Module) -> None:
    tiles, once, eight = _tiles(), *(classifier(network, channels=CHANNELS, views=v) for v in (1, 8))
    for turn in _turnings():
        torch.testing.assert_close(eight(turn(tiles)), turn(eight(tiles)))
    assert not torch.allclose(once(torch.rot90(tiles, 1, (2, 3))), torch.rot90(once(tiles), 1, (2, 3)))


def _turnings() -> list[Callable[[Tensor], Tensor]]:
    return [
        lambda x: torch.rot90(x, 1, (2, 3)),
        lambda x: torch.rot90(x, 3, (2, 3)),
        lambda x: x.flip(3),
        lambda x: x.transpose(2, 3),
    ]


def test_views_are_averaged_as_probabilities(network: torch.nn.Module) -> None:
    tiles = _tiles()
    once, four = (classifier(network, channels=CHANNELS, views=v) for v in (1, 4))
    expected = sum(once(tiles.flip(dims)).flip(dims) for dims in ([], [2], [3], [2, 3])) / 4
    torch.testing.assert_close(four(tiles), expected)


def test_separate_views_are_classified_by_themselves_and_averaged(network: torch.nn.Module) -> None:
    stack = _tiles(number=2, channels=3 * CHANNELS)
    classify = classifier(network, channels=CHANNELS, views=1)
    each = [classify(stack[:, start : start + CHANNELS]) for start in (0, CHANNELS, 2 * CHANNELS)]
    torch.testing.assert_close(classify(stack), sum(each) / 3)


def test_classifying_leaves_no_trace_in_the_network(network: torch.nn.Module) -> None:
    probabilities = classifier(network, channels=CHANNELS, views=8)(_tiles())
    assert not probabilities.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())


# Scores


def test_strips_are_scored_like_the_whole_map() -> None:
    image = _image(70, 40)
    labels = np.random.default_rng(3).integers(0, CLASSES, (70, 40), np.uint8)
    labels[10:20] = IGNORE
    strips = _strips(image, _by_colour, _tiling(tile=16, overlap=4, downsample=2))
    whole = ConfusionMatrix.of(labels, _joined(strips)[0], classes=CLASSES)
    assert np.array_equal(score(iter(strips), labels, classes=CLASSES).counts, whole.counts)
    assert whole.pixels == 60 * 40
