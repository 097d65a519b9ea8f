from collections.abc import Iterator

import pytest
import torch

from mineralseg.engine.device import make_deterministic, select_device
from mineralseg.errors import EnvironmentFault


@pytest.fixture
def _torch_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(before)
    torch.set_num_threads(threads)


def test_cuda_is_used_when_there_and_not_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for present, kinds in ((True, ("cuda", "cpu", "cuda")), (False, ("cpu", "cpu"))):
        monkeypatch.setattr(torch.cuda, "is_available", lambda present=present: present)
        for name, kind in zip(("auto", "cpu", "cuda"), kinds, strict=False):
            assert select_device(name).type == kind  # type: ignore[arg-type]


def test_cuda_that_is_not_there_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EnvironmentFault, match="no CUDA device is usable here; set it to auto or cpu"):
        select_device("cuda")


@pytest.mark.usefixtures("_torch_as_before")
def test_threads_and_algorithms_are_pinned() -> None:
    make_deterministic(threads=1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
