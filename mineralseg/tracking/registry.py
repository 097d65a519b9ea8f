"""The registry: numbered versions of a trained bundle, and the aliases that say which one is in use."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mineralseg.errors import Busy, ConfigurationError, UntrustedArtefact
from mineralseg.io.files import writing
from mineralseg.tracking import mlflow_api as api
from mineralseg.tracking.artefacts import bundle_sha256, listed_files
from mineralseg.tracking.names import checked_identifier
from mineralseg.tracking.store import Store

BUNDLE_SHA256, WEIGHTS_SHA256 = "mineralseg.bundle_sha256", "mineralseg.weights_sha256"
PROMOTED_BY, PROMOTED_AT = "mineralseg.promoted_by", "mineralseg.promoted_at"
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"


@dataclass(frozen=True)
class Version:
    """One registered bundle: its number, the aliases that point to it, its tags and the run that made it."""

    model: str
    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run_id: str | None
    created: datetime


@dataclass(frozen=True)
class Promotion:
    """What a promotion did: the champion now, the number before it, and whether anything changed."""

    champion: Version
    previous: int | None
    changed: bool


class Registry:
    """The versions of one registered model.

    A version is a bundle's raw files, kept without any code, plus the hash of all of them. Everything that
    changes the registry holds a lock of this workspace; with a server, writers in other workspaces are seen
    by the comparison that `promote` makes, not kept out.
    """

    def __init__(self, store: Store, model_name: str) -> None:
        """Stand for the model `model_name` in `store`; it is made when its first version is."""
        self._store = store
        self._name = checked_identifier(model_name, what="model name")

    def register(
        self, bundle_dir: Path, *, run_id: str | None, weights_sha256: str, tags: Mapping[str, str]
    ) -> Version:
        """Return the version that holds the files of `bundle_dir`, made unless it is there already.

        The files are stored first and the version is created last, with its hashes, so that a version that
        can be seen is complete. A new version gets the alias `candidate`.

        Args:
            bundle_dir: a folder of regular files.
            run_id: the run that made the bundle, when there is one.
            weights_sha256: hash of the weights, for those who only ask which model it is.
            tags: further facts.

        Raises:
            UntrustedArtefact: the folder holds links or other things that are not regular files.
            EnvironmentFault: the store failed.
        """
        hashes = {BUNDLE_SHA256: bundle_sha256(bundle_dir), WEIGHTS_SHA256: weights_sha256}
        with self._store.lock("registry"), self._store.reporting():
            for version in reversed(self.versions()):
                if hashes.items() <= version.tags.items():
                    return version
            number = self._create(bundle_dir, run_id=run_id, tags={**tags, **hashes})
            self._store.client.set_registered_model_alias(self._name, CANDIDATE, str(number))
            return self._version(number)

    def versions(self) -> list[Version]:
        """Return all versions, the oldest first."""
        with self._store.reporting():
            aliases = self._aliases()
            found: list[api.ModelVersion] = []
            token: str | None = None
            while token is None or token:
                page = self._store.client.search_model_versions(
                    f"name='{self._name}'", page_token=token or None
                )
                found, token = [*found, *page], page.token or ""
        return sorted((self._value(each, aliases) for each in found), key=lambda version: version.number)

    def resolve(self, selector: str) -> Version:
        """Return the version that `selector` names: a number (`3`), an alias (`@champion`) or `latest`.

        Raises:
            ConfigurationError: there is none such; the message lists what there is.
        """
        versions = self.versions()
        if selector == "latest" and versions:
            return versions[-1]
        for version in versions:
            if selector == str(version.number) or selector.removeprefix("@") in version.aliases:
                return version
        raise ConfigurationError(
            f"version {selector!r} of model {self._name!r}",
            found="no such version",
            expected=_choices(versions),
            fix="" if versions else "register a trained bundle first",
        )

    def download(self, version: Version, dest: Path) -> Path:
        """Return `dest`, a new folder with the files of `version`; nothing of them is executed.

        The folder takes its name only when all files are there and hash to what the version records.

        Raises:
            ConfigurationError: `dest` exists.
            UntrustedArtefact: a listed name leads out of the folder, or the files are not those registered.
            EnvironmentFault: the store or the disk failed.
        """
        if dest.exists():
            raise ConfigurationError(str(dest), found="exists", expected="the name of a new folder")
        with writing(dest):
            dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=dest.parent) as temporary:
            folder = Path(temporary) / "bundle"
            with writing(folder):
                folder.mkdir()
            with self._store.reporting():
                source = self._store.client.get_model_version_download_uri(self._name, str(version.number))
                repository = api.get_artifact_repository(source, tracking_uri=self._store.uri)
                for name in listed_files(repository, subject=f"{self._name} version {version.number}"):
                    repository.download_artifacts(name, dst_path=str(folder))  # type: ignore[no-untyped-call]
            found, expected = bundle_sha256(folder), version.tags.get(BUNDLE_SHA256, "no recorded hash")
            if found != expected:
                raise UntrustedArtefact(
                    f"{self._name} version {version.number}",
                    found=f"files with hash {found}",
                    expected=expected,
                    fix="register the bundle again from a copy that you trust",
                )
            with writing(dest):
                folder.rename(dest)
        return dest

    def promote(self, number: int, *, expected_champion: int | None, promoted_by: str) -> Promotion:
        """Make version `number` the champion and the champion of before `previous`.

        Args:
            number: the version.
            expected_champion: the champion that the decision was made against, None for none.
            promoted_by: who decided, kept on the version with the time.

        Returns:
            What changed; promoting the champion changes nothing.

        Raises:
            ConfigurationError: there is no such version.
            Busy: the champion is another one by now: someone promoted meanwhile.
        """
        with self._store.lock("registry"), self._store.reporting():
            chosen = self.resolve(str(number))
            aliases = self._aliases()
            champion = aliases.get(CHAMPION)
            if champion == number:
                return Promotion(chosen, aliases.get(PREVIOUS), changed=False)
            if champion != expected_champion:
                raise Busy(
                    f"champion of model {self._name!r}",
                    found=f"version {champion}, changed by someone else meanwhile",
                    expected=f"version {expected_champion}",
                    fix="compare with the new champion and promote again",
                )
            self._move_aliases(number, champion, aliases, promoted_by=promoted_by)
            return Promotion(self._version(number), champion, changed=True)

    def _move_aliases(
        self, number: int, champion: int | None, aliases: Mapping[str, int], *, promoted_by: str
    ) -> None:
        """Write who promoted, then the aliases; `champion`, on which users depend, moves in one step."""
        client, now = self._store.client, datetime.now(UTC).isoformat(timespec="seconds")
        client.set_model_version_tag(self._name, str(number), PROMOTED_BY, promoted_by)
        client.set_model_version_tag(self._name, str(number), PROMOTED_AT, now)
        if champion is not None:
            client.set_registered_model_alias(self._name, PREVIOUS, str(champion))
        client.set_registered_model_alias(self._name, CHAMPION, str(number))
        if aliases.get(CANDIDATE) == number:
            client.delete_registered_model_alias(self._name, CANDIDATE)

    def _create(self, bundle_dir: Path, *, run_id: str | None, tags: Mapping[str, str]) -> int:
        client = self._store.client
        try:
            client.create_registered_model(self._name)
        except api.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        files = client.create_logged_model(
            self._store.experiment_id, name="bundle", source_run_id=run_id, tags=dict(tags)
        )
        client.log_model_artifacts(files.model_id, str(bundle_dir))
        client.finalize_logged_model(files.model_id, "READY")
        if self._store.is_local:
            # Naming the logged model would make MLflow look it up in the store of the current folder.
            made = client.create_model_version(self._name, files.artifact_location, run_id, dict(tags))
        else:
            made = client.create_model_version(
                self._name, f"models:/{files.model_id}", run_id, dict(tags), model_id=files.model_id
            )
        return int(made.version)

    def _aliases(self) -> dict[str, int]:
        """Return which version each alias points to; a search for versions would leave them out."""
        try:
            model = self._store.client.get_registered_model(self._name)
        except api.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
        return {alias: int(number) for alias, number in model.aliases.items()}

    def _version(self, number: int) -> Version:
        return self._value(self._store.client.get_model_version(self._name, str(number)), self._aliases())

    def _value(self, found: api.ModelVersion, aliases: Mapping[str, int]) -> Version:
        number = int(found.version)
        return Version(
            model=self._name,
            number=number,
            aliases=tuple(sorted(alias for alias, target in aliases.items() if target == number)),
            tags=dict(found.tags),
            run_id=found.run_id or None,
            created=datetime.fromtimestamp(found.creation_timestamp / 1000, tz=UTC),
        )


def _choices(versions: list[Version]) -> str:
    """Return what can be asked for, in words."""
    if not versions:
        return "a registered version, of which there is none"
    numbers = ", ".join(str(version.number) for version in versions)
    aliases = ", ".join(f"@{alias}" for version in versions for alias in version.aliases)
    return f"latest, a number ({numbers})" + (f" or an alias ({aliases})" if aliases else "")
