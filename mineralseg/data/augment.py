"""Random changes of training patches: geometry by albumentations, light per view by hand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from mineralseg.core.legend import IGNORE


@dataclass(frozen=True)
class Augmentation:
    """Largest changes; see `config.training.AugmentSection` for each."""

    flip: bool
    rotate_deg: float
    scale: float
    gain: float
    gamma: float
    noise: float
    drop_view: float


class Augmenter:
    """Changes a patch; the same seed gives the same change in whatever process it runs.

    Albumentations' own random state repeats itself across loader workers and epochs, so each call sets
    it from the seed that is passed.
    """

    def __init__(self, augmentation: Augmentation, *, patch_px: int, view_bands: Sequence[int]) -> None:
        """Prepare for patches of `patch_px` whose channels are views of `view_bands` bands each."""
        self._augmentation = augmentation
        self._view_bands = tuple(view_bands)
        self.patch_px = patch_px
        """Side of the patches that come out."""
        self.source_px = _source_px(augmentation, patch_px)
        """Side of the window to cut, large enough that turning and scaling open no void corners."""
        steps: list[albumentations.BasicTransform] = [albumentations.D4(p=1.0)] if augmentation.flip else []
        if augmentation.rotate_deg or augmentation.scale:
            steps.append(
                albumentations.Affine(
                    rotate=(-augmentation.rotate_deg, augmentation.rotate_deg),
                    scale=(1 - augmentation.scale, 1 + augmentation.scale),
                    keep_ratio=True,
                    interpolation=cv2.INTER_LINEAR,
                    mask_interpolation=cv2.INTER_NEAREST,
                    border_mode=cv2.BORDER_CONSTANT,
                    fill=0,
                    fill_mask=IGNORE,
                    p=1.0,
                )
            )
        self._geometry = albumentations.Compose([*steps, albumentations.CenterCrop(patch_px, patch_px)])

    def __call__(
        self, image_HWC: NDArray[np.uint8], labels_HW: NDArray[np.uint8], *, seed: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the changed image (patch_px, patch_px, channels) and labels, both uint8."""
        self._geometry.set_random_seed(seed)
        changed = self._geometry(image=image_HWC, mask=labels_HW)
        light = self._change_light(changed["image"], np.random.default_rng(seed))
        return light, np.asarray(changed["mask"], np.uint8)

    def _change_light(self, image_HWC: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        change = self._augmentation
        light = image_HWC.astype(np.float32) / 255.0
        start = 0
        for bands in self._view_bands:
            view = light[..., start : start + bands]
            exponent = 1 + rng.uniform(-change.gamma, change.gamma)
            gain = (1 + rng.uniform(-change.gain, change.gain)) * (
                1 + rng.uniform(-change.gain / 3, change.gain / 3, bands)
            )
            view[...] = view ** np.float32(exponent) * gain.astype(np.float32)
            start += bands
        noise = rng.uniform(0, change.noise) / 255.0
        light += rng.standard_normal(light.shape, np.float32) * np.float32(noise)
        if len(self._view_bands) > 1 and rng.random() < change.drop_view:
            dropped = int(rng.integers(len(self._view_bands)))
            start = sum(self._view_bands[:dropped])
            view = light[..., start : start + self._view_bands[dropped]]
            view[...] = view.mean(axis=(0, 1))
        levels_HWC: NDArray[np.uint8] = (np.clip(light, 0, 1) * 255 + 0.5).astype(np.uint8)
        return levels_HWC


def _source_px(augmentation: Augmentation, patch_px: int) -> int:
    angle = math.radians(min(augmentation.rotate_deg, 45.0))
    stretch = (math.sin(angle) + math.cos(angle)) / (1 - augmentation.scale)
    return math.ceil(patch_px * stretch / 2) * 2
