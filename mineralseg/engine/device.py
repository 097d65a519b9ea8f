"""Where torch computes, and with what promises."""

import os
from typing import Literal

import torch

from mineralseg.errors import EnvironmentFault


def select_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return the device that `name` means here.

    Raises:
        EnvironmentFault: cuda is asked for and there is none.
    """
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise EnvironmentFault(
            "train.device", found="cuda, and no CUDA device is usable here", fix="set it to auto or cpu"
        )
    return torch.device("cuda" if present and name != "cpu" else "cpu")


def make_deterministic(*, threads: int) -> None:
    """Make this process give the same bytes for the same inputs on the same kind of processor.

    The number of threads is part of the promise: another number sums in another order.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # Some operations have no deterministic form on CUDA; there they warn, and the promise is weaker.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    torch.backends.cudnn.benchmark = False
