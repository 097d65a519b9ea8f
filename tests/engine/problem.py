"""Training that takes a second: three minerals that colour alone tells apart."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mineralseg.core.confusion import ConfusionMatrix
from mineralseg.core.legend import IGNORE
from mineralseg.engine.fit import Optimisation

CLASSES = 3
COLOURS = torch.tensor([[200.0, 60.0], [60.0, 200.0], [120.0, 120.0]])


def network(seed: int = 0) -> nn.Module:
    """Return a network with everything that has a state: statistics, chance, weights."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.BatchNorm2d(2), nn.Conv2d(2, 16, 1), nn.ReLU(), nn.Dropout2d(0.1), nn.Conv2d(16, CLASSES, 1)
    )


def scene(seed: int) -> tuple[Tensor, Tensor]:
    """Return images (4, 2, 16, 16) and labels (4, 16, 16) with some void."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (4, 16, 16), generator=generator)
    noise = 15 * torch.randn(4, 2, 16, 16, generator=generator)
    images = COLOURS[labels].movedim(-1, 1) + noise
    labels[:, :2] = IGNORE
    return images.clamp(0, 255).to(torch.uint8).float(), labels


def batches_of(number: int) -> Callable[[int], Iterator[tuple[Tensor, Tensor]]]:
    """Return the function from an epoch to its batches."""
    return lambda epoch: (scene(1000 * epoch + step) for step in range(number))


def validate(trained: nn.Module) -> ConfusionMatrix:
    """Return the counts on a scene that is not trained on."""
    images, labels = scene(999_999)
    with torch.inference_mode():
        predicted = trained(images).argmax(dim=1)
    return ConfusionMatrix.of(
        labels.numpy().astype(np.uint8), predicted.numpy().astype(np.uint8), classes=CLASSES
    )


def plan(**changes: Any) -> Optimisation:
    """Return a short plan."""
    values: dict[str, Any] = {
        "epochs": 4,
        "batches_per_epoch": 6,
        "learning_rate": 0.03,
        "weight_decay": 0.01,
        "warmup_share": 0.1,
        "ema_decay": 0.8,
        "clip_norm": 1.0,
        "keep": "best",
        "seed": 11,
    }
    return Optimisation(**values | changes)
