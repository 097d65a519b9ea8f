"""Registering a bundle and promoting a version: side effects, kept out of the pipeline."""

import getpass
from pathlib import Path

from mineralseg.config.params import Params
from mineralseg.errors import ConfigurationError, UntrustedArtefact
from mineralseg.io.tables import read_csv
from mineralseg.models.bundle import Bundle, load_bundle
from mineralseg.stages.evaluate import log_evaluation
from mineralseg.stages.runs import MlflowRunBook
from mineralseg.stages.train import HISTORY_NAME, identity_tags, params_sha256
from mineralseg.stages.workspace import Workspace
from mineralseg.tracking.artefacts import bundle_sha256
from mineralseg.tracking.registry import BUNDLE_SHA256, WEIGHTS_SHA256, Promotion, Registry, Version


def register_bundle(params: Params, workspace: Workspace) -> Version:
    """Return the registered version of the workspace's bundle, made as `candidate` unless it is there.

    The version points to the run that trained it, found by fingerprint. When DVC took the model from its
    cache there is no such run here; one is then written from the pipeline's reports.

    Raises:
        ConfigurationError: there is no bundle yet.
    """
    if not (workspace.bundle / "bundle.json").is_file():
        raise ConfigurationError(workspace.bundle, found="no bundle", fix="run `dvc repro` first")
    bundle = load_bundle(workspace.bundle)
    book = MlflowRunBook(workspace, experiment=params.project.name)
    run_id = book.find(bundle.spec.training["fingerprint"]).run_id or _restored_run(
        book, params, workspace, bundle
    )
    version = registry_of(params, book).register(
        workspace.bundle,
        run_id=run_id,
        weights_sha256=bundle.spec.weights_sha256,
        tags=_version_tags(bundle),
    )
    book.find(bundle.spec.training["fingerprint"]).set_tags(
        {"mineralseg.registered_version": str(version.number)}
    )
    return version


def promote_version(params: Params, workspace: Workspace, selector: str) -> Promotion:
    """Make a version the champion; the champion of before becomes `previous`."""
    registry = open_registry(params, workspace)
    number = registry.resolve(selector).number
    champion = next((v.number for v in registry.versions() if "champion" in v.aliases), None)
    return registry.promote(number, expected_champion=champion, promoted_by=getpass.getuser())


def open_registry(params: Params, workspace: Workspace) -> Registry:
    """Return the registry of the workspace's project."""
    return registry_of(params, MlflowRunBook(workspace, experiment=params.project.name))


def registry_of(params: Params, book: MlflowRunBook) -> Registry:
    """Return the registry in an open store: one registered model a project."""
    return Registry(book.store, params.project.name)


def fetch_bundle(params: Params, workspace: Workspace, selector: str) -> tuple[Version, Bundle]:
    """Return a registered version and its bundle; `selector` is a number, an alias (@champion) or latest.

    Its files are copied out of the store once, and checked against the registry's hash at every load.
    """
    registry = open_registry(params, workspace)
    version = registry.resolve(selector)
    recorded = version.tags.get(BUNDLE_SHA256, "no recorded hash")
    folder = workspace.private / "models" / f"{version.model}-{version.number}-{recorded[:16]}"
    if not folder.is_dir():
        registry.download(version, folder)
    found = bundle_sha256(folder)
    if found != recorded:
        raise UntrustedArtefact(
            folder,
            found=f"files with hash {found}",
            expected=f"{recorded} as the registry says",
            fix="delete the folder, and it is fetched again",
        )
    return version, load_bundle(folder, expected_sha256=version.tags.get(WEIGHTS_SHA256))


def _restored_run(book: MlflowRunBook, params: Params, workspace: Workspace, bundle: Bundle) -> str | None:
    """Write the run of a training that DVC restored from its cache, and return its id."""
    training = bundle.spec.training
    if params_sha256(params) != training["params_sha256"]:
        raise ConfigurationError(
            workspace.params_file,
            found="parameters that did not make this bundle",
            expected="those it was trained with, for its run is not in this store and is written from them",
            fix="restore params.yaml (git checkout params.yaml), or run `dvc repro`",
        )
    tags = {"mineralseg.restored": "true", **identity_tags(training)}
    name = f"{bundle.spec.arch}-{bundle.spec.encoder}-{training['fingerprint'][:6]}"
    with book.open(name=name, fingerprint=training["fingerprint"], tags=tags, resume_run_id=None) as run:
        run.log_params(params.flat())
        # A table is read with its header in lower case; minerals keep their spelling.
        spelled = {each.lower(): each for each in (f"val/iou/{name}" for name in bundle.spec.legend.names)}
        for row in read_csv(_history(workspace)):
            step = int(row.pop("epoch"))
            run.log_metrics({spelled.get(key, key): float(value) for key, value in row.items()}, step=step)
        log_evaluation(run, bundle.spec, workspace.evaluation, name=params.project.name)
        return run.run_id


def _history(workspace: Workspace) -> Path:
    return workspace.root / "reports" / HISTORY_NAME


def _version_tags(bundle: Bundle) -> dict[str, str]:
    tags = identity_tags(bundle.spec.training)
    if bundle.spec.scores is not None and bundle.spec.scores.mean_iou is not None:
        tags["test.mean_iou"] = f"{bundle.spec.scores.mean_iou:.4f}"
        tags["test.pixel_accuracy"] = f"{bundle.spec.scores.pixel_accuracy:.4f}"
    return tags
