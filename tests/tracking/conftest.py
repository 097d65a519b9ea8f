from collections.abc import Iterator
from pathlib import Path

import pytest

from mineralseg.tracking.store import Store, open_store

# Making a store runs all of MLflow's migrations, so the tests share one and use names of their own in it.


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield open_store(tmp_path_factory.mktemp("Проба 1 (α) #2 100%"), experiment="tests")


@pytest.fixture
def store(shared_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shared_store


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "notes").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights of " + tmp_path.name.encode())
    (folder / "bundle.json").write_text("{}", encoding="utf-8")
    (folder / "notes" / "card.md").write_text("# a card\n", encoding="utf-8")
    return folder
