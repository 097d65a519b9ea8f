import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from mineralseg.errors import Busy, ConfigurationError, UntrustedArtefact
from mineralseg.tracking import mlflow_api as api
from mineralseg.tracking.artefacts import bundle_sha256, listed_files
from mineralseg.tracking.registry import BUNDLE_SHA256, PROMOTED_AT, PROMOTED_BY, Registry, Version
from mineralseg.tracking.store import Store


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, f"model-{uuid.uuid4().hex[:8]}")


def register(registry: Registry, bundle: Path, *, content: str) -> Version:
    (bundle / "bundle.json").write_text(content, encoding="utf-8")
    return registry.register(bundle, run_id=None, weights_sha256="ab" * 32, tags={"classes": content})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_version_gives_back_the_files_that_were_registered(
    registry: Registry, bundle: Path, tmp_path: Path
) -> None:
    version = register(registry, bundle, content="1")
    assert (version.number, version.aliases, version.run_id) == (1, ("candidate",), None)
    assert version.tags["classes"] == "1"
    copy = registry.download(version, tmp_path / "new" / "copy")
    assert contents(copy) == contents(bundle)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_change_to_the_copy_does_not_reach_the_store(
    registry: Registry, bundle: Path, tmp_path: Path
) -> None:
    version = register(registry, bundle, content="1")
    (registry.download(version, tmp_path / "a") / "bundle.json").write_text("changed", encoding="utf-8")
    assert (registry.download(version, tmp_path / "b") / "bundle.json").read_text() == "1"


def test_registering_the_same_files_again_gives_the_same_version(registry: Registry, bundle: Path) -> None:
    first = register(registry, bundle, content="1")
    second = register(registry, bundle, content="2")
    assert (first.number, second.number) == (1, 2)
    assert register(registry, bundle, content="1").number == 1
    assert [version.number for version in registry.versions()] == [1, 2]
    assert [version.aliases for version in registry.versions()] == [(), ("candidate",)]


def test_a_version_knows_its_run(registry: Registry, store: Store, bundle: Path) -> None:
    run = store.client.create_run(store.experiment_id)
    version = registry.register(bundle, run_id=run.info.run_id, weights_sha256="cd" * 32, tags={})
    assert registry.versions()[0].run_id == version.run_id == run.info.run_id
    store.client.set_terminated(run.info.run_id)


def test_an_interrupted_registration_shows_no_version_and_can_be_repeated(
    registry: Registry, store: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.client, "log_model_artifacts", cut)
    with pytest.raises(KeyboardInterrupt):
        register(registry, bundle, content="1")
    assert registry.versions() == []
    monkeypatch.undo()
    assert register(registry, bundle, content="1").number == 1


def test_versions_are_chosen_by_number_alias_and_age(registry: Registry, bundle: Path) -> None:
    with pytest.raises(ConfigurationError, match="register a trained bundle first"):
        registry.resolve("latest")
    for content in "12":
        register(registry, bundle, content=content)
    registry.promote(1, expected_champion=None, promoted_by="ana")
    assert registry.resolve("1").number == 1
    assert registry.resolve("@champion").number == 1
    assert registry.resolve("@candidate").number == 2
    assert registry.resolve("latest").number == 2
    for unknown in ("3", "@nobody", "Production", "", "../1"):
        with pytest.raises(ConfigurationError, match=r"1, 2.*@champion, @candidate"):
            registry.resolve(unknown)


def test_promotion_moves_the_aliases_and_can_be_undone(registry: Registry, bundle: Path) -> None:
    for content in "12":
        register(registry, bundle, content=content)
    first = registry.promote(1, expected_champion=None, promoted_by="ana")
    assert (first.changed, first.previous, first.champion.aliases) == (True, None, ("champion",))
    second = registry.promote(2, expected_champion=1, promoted_by="ben")
    assert (second.previous, second.champion.aliases) == (1, ("champion",))
    assert second.champion.tags[PROMOTED_BY] == "ben"
    assert second.champion.tags[PROMOTED_AT].endswith("+00:00")
    assert [version.aliases for version in registry.versions()] == [("previous",), ("champion",)]
    back = registry.promote(1, expected_champion=2, promoted_by="ana")
    assert (back.champion.number, back.previous) == (1, 2)
    assert [version.aliases for version in registry.versions()] == [("champion",), ("previous",)]


def test_promoting_the_champion_changes_nothing_and_says_so(registry: Registry, bundle: Path) -> None:
    register(registry, bundle, content="1")
    registry.promote(1, expected_champion=None, promoted_by="ana")
    again = registry.promote(1, expected_champion=None, promoted_by="ben")
    assert not again.changed
    assert again.champion.tags[PROMOTED_BY] == "ana"


def test_a_decision_against_an_old_champion_is_refused(registry: Registry, bundle: Path) -> None:
    for content in "123":
        register(registry, bundle, content=content)
    registry.promote(1, expected_champion=None, promoted_by="ana")
    registry.promote(2, expected_champion=1, promoted_by="ana")
    with pytest.raises(Busy, match="version 2, changed by someone else") as caught:
        registry.promote(3, expected_champion=1, promoted_by="ben")
    assert caught.value.exit_code == 4
    assert registry.resolve("@champion").number == 2
    with pytest.raises(ConfigurationError, match="no such version"):
        registry.promote(9, expected_champion=2, promoted_by="ben")


def test_files_that_were_changed_in_the_store_are_not_used(
    registry: Registry, store: Store, bundle: Path, tmp_path: Path
) -> None:
    version = register(registry, bundle, content="1")
    source = store.client.get_model_version(version.model, "1").source
    stored = next(
        path
        for path in (store.workspace / ".mineralseg" / "artifacts").rglob("bundle.json")
        if path.parent.as_uri() == source
    )
    (stored.parent / "MLmodel").write_text(
        "flavors: {python_function: {loader_module: evil}}", encoding="utf-8"
    )
    with pytest.raises(UntrustedArtefact, match=version.tags[BUNDLE_SHA256]):
        registry.download(version, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not list(tmp_path.glob(".tmp-*"))
    (stored.parent / "MLmodel").unlink()
    assert contents(registry.download(version, tmp_path / "copy")) == contents(bundle)


def test_a_folder_in_the_way_is_not_overwritten(registry: Registry, bundle: Path) -> None:
    version = register(registry, bundle, content="1")
    with pytest.raises(ConfigurationError, match="exists"):
        registry.download(version, bundle)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\nb", "x'--", "x" * 101])
def test_a_dangerous_model_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ConfigurationError, match="model name"):
        Registry(store, name)


def test_the_hash_of_a_bundle_depends_on_names_and_contents(bundle: Path) -> None:
    before = bundle_sha256(bundle)
    (bundle / "bundle.json").rename(bundle / "renamed.json")
    renamed = bundle_sha256(bundle)
    (bundle / "renamed.json").write_text("[]", encoding="utf-8")
    assert len({before, renamed, bundle_sha256(bundle)}) == 3


def test_links_and_empty_folders_are_no_bundles(bundle: Path, tmp_path: Path) -> None:
    (bundle / "link").symlink_to("/etc/passwd")
    with pytest.raises(UntrustedArtefact, match="link"):
        bundle_sha256(bundle)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UntrustedArtefact, match="no files"):
        bundle_sha256(tmp_path / "empty")


class Listing(api.ArtifactRepository):
    """A store of files that answers what it is told to."""

    def __init__(self, answers: dict[str | None, list[tuple[str, bool]]]) -> None:
        self.answers = answers

    def list_artifacts(self, path: str | None = None) -> list[SimpleNamespace]:  # type: ignore[override]
        return [SimpleNamespace(path=name, is_dir=is_dir) for name, is_dir in self.answers[path]]

    def log_artifact(self, *_: object) -> None:
        raise NotImplementedError

    def log_artifacts(self, *_: object) -> None:
        raise NotImplementedError

    def _download_file(self, *_: object) -> None:
        raise NotImplementedError


def test_files_in_folders_are_listed_without_the_notes_of_mlflow() -> None:
    listing = Listing(
        {None: [("a", False), ("d", True), ("registered_model_meta", False)], "d": [("d/b", False)]}
    )
    assert list(listed_files(listing, subject="m")) == ["a", "d/b"]


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/etc/x",
        "a/../../x",
        "d/../x",
        "a/b",
        "",
        ".",
        "..",
        "a\0b",
        "a\nb",
        "..\\x",
        "./a",
        "a//b",
    ],
)
@pytest.mark.parametrize("is_dir", [False, True])
def test_a_listed_name_that_leads_out_is_refused(name: str, is_dir: bool) -> None:
    with pytest.raises(UntrustedArtefact, match="file name"):
        list(listed_files(Listing({None: [(name, is_dir)]}), subject="m"))


def test_a_list_without_end_is_refused() -> None:
    class Endless(Listing):
        def list_artifacts(self, path: str | None = None) -> list[SimpleNamespace]:  # type: ignore[override]
            return [SimpleNamespace(path="/".join(filter(None, [path, "d"])), is_dir=True)]

    with pytest.raises(UntrustedArtefact, match="more than 1000"):
        list(listed_files(Endless({}), subject="m"))
