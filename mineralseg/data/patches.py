"""Batches of training patches, reproducible by seed, epoch and place alone."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mineralseg.core.geometry import Window
from mineralseg.data.augment import Augmenter
from mineralseg.data.sampling import ClassIndex, Place, draw_places
from mineralseg.data.working import WorkingSlide


class _EpochPatches(Dataset[tuple[Tensor, Tensor]]):
    """The patches of one epoch, cut and augmented on demand."""

    def __init__(
        self,
        slides: Sequence[WorkingSlide],
        places: Sequence[Place],
        augmenter: Augmenter,
        *,
        seeds: list[int],
    ) -> None:
        self._slides, self._places, self._augmenter, self._seeds = slides, places, augmenter, seeds

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        place, side = self._places[index], self._augmenter.source_px
        slide, inner = self._slides[place.slide], self._augmenter.patch_px
        row, col = _inside(place.row, inner, slide.height), _inside(place.col, inner, slide.width)
        image, labels = slide.patch(Window(row - side // 2, col - side // 2, side, side))
        image, labels = self._augmenter(image, labels, seed=self._seeds[index])
        return (
            torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            torch.from_numpy(labels.astype(np.int64)),
        )


class PatchLoader:
    """Gives the batches of any epoch; the same seed and epoch give the same batches, however many workers."""

    def __init__(
        self,
        slides: Sequence[WorkingSlide],
        augmenter: Augmenter,
        *,
        classes: int,
        balanced_share: float,
        seed: int,
        workers: int,
    ) -> None:
        """Index the classes of `slides` once."""
        self._slides, self._augmenter = slides, augmenter
        self._balanced_share, self._seed, self._workers = balanced_share, seed, workers
        self.index = ClassIndex(slides, classes=classes)

    def batches(self, epoch: int, *, number: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images uint8 (size, C, p, p) and labels int64 (size, p, p) of one epoch."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, epoch]))
        places = draw_places(
            self.index, self._slides, number=number * size, balanced_share=self._balanced_share, rng=rng
        )
        seeds = [int(seed) for seed in rng.integers(2**31, size=len(places))]
        patches = _EpochPatches(self._slides, places, self._augmenter, seeds=seeds)
        yield from DataLoader(patches, batch_size=size, num_workers=self._workers)


def _inside(centre: int, patch_px: int, length: int) -> int:
    """Return the centre nearest to `centre` whose patch lies inside, if one fits, else the middle."""
    if length < patch_px:
        return length // 2
    return min(max(centre, patch_px // 2), length - patch_px + patch_px // 2)
