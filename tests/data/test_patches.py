import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from mineralseg.core.legend import IGNORE
from mineralseg.data.augment import Augmentation, Augmenter
from mineralseg.data.patches import PatchLoader
from mineralseg.data.working import WorkingSlide

CHANGE = Augmentation(flip=True, rotate_deg=20, scale=0.1, gain=0.1, gamma=0.1, noise=3, drop_view=0.1)
NOTHING = Augmentation(flip=False, rotate_deg=0, scale=0, gain=0, gamma=0, noise=0, drop_view=0)


def _slide(height: int, width: int, seed: int) -> WorkingSlide:
    """Return a slide whose first channel encodes the label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (height, width), np.uint8)
    image = rng.integers(0, 256, (height, width, 4), np.uint8)
    image[..., 0] = 100 * labels
    return WorkingSlide("s", image, labels)


SLIDES = [_slide(90, 70, 0), _slide(40, 100, 1)]


def _loader(augmentation: Augmentation = CHANGE, *, seed: int = 7, workers: int = 0) -> PatchLoader:
    augmenter = Augmenter(augmentation, patch_px=32, view_bands=(3, 1))
    return PatchLoader(SLIDES, augmenter, classes=3, balanced_share=0.5, seed=seed, workers=workers)


def _epoch(loader: PatchLoader, epoch: int) -> list[tuple[Tensor, Tensor]]:
    return list(loader.batches(epoch, number=3, size=4))


def _same(first: list[tuple[Tensor, Tensor]], second: list[tuple[Tensor, Tensor]]) -> bool:
    return all(
        torch.equal(a, b)
        for one, two in zip(first, second, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def test_batches_have_the_promised_shapes() -> None:
    batches = _epoch(_loader(), 0)
    assert len(batches) == 3
    for images, labels in batches:
        assert (images.shape, images.dtype) == ((4, 4, 32, 32), torch.uint8)
        assert (labels.shape, labels.dtype) == ((4, 32, 32), torch.int64)
        assert set(labels.flatten().tolist()) <= {0, 1, 2, IGNORE}


# where there is one core, torch warns that two workers are many
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_workers_cut_the_same_patches() -> None:
    alone = _epoch(_loader(), 1)
    assert _same(alone, _epoch(_loader(workers=2), 1))


def test_seed_and_epoch_decide_and_nothing_before() -> None:
    loader = _loader()
    first, second = _epoch(loader, 0), _epoch(loader, 1)
    torch.manual_seed(99)
    assert _same(second, _epoch(loader, 1))
    assert _same(second, _epoch(_loader(), 1))
    assert not _same(first, second)
    assert not _same(first, _epoch(_loader(seed=8), 0))
    patches = {image.numpy().tobytes() for images, _ in [*first, *second] for image in images}
    assert len(patches) == 24


def test_labels_lie_on_what_they_label() -> None:
    loader = _loader(dataclasses.replace(NOTHING, flip=True))
    for images, labels in _epoch(loader, 0):
        assert torch.equal(images[:, 0].long(), 100 * labels)


def test_patches_that_are_not_turned_lie_inside() -> None:
    for _, labels in _epoch(_loader(dataclasses.replace(CHANGE, rotate_deg=0, scale=0)), 0):
        assert not (labels == IGNORE).any()


def test_a_slide_smaller_than_a_patch_is_mirrored_and_void_beyond() -> None:
    small = _slide(20, 50, 2)
    augmenter = Augmenter(NOTHING, patch_px=32, view_bands=(3, 1))
    loader = PatchLoader([small], augmenter, classes=3, balanced_share=0, seed=0, workers=0)
    for _, labels in loader.batches(0, number=2, size=2):
        assert (labels != IGNORE).sum(dim=(1, 2)).tolist() == [20 * 32, 20 * 32]
