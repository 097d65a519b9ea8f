"""Every path of a workspace, once."""

from dataclasses import dataclass
from pathlib import Path

from mineralseg.config.params import Params
from mineralseg.errors import ConfigurationError
from mineralseg.io.tables import read_yaml

LABEL_NAME = "label.tif"
"""The class indices of a sample, in its folder of data/labels."""


@dataclass(frozen=True)
class Workspace:
    """A folder with params.yaml, legend.yaml, samples.csv, dvc.yaml and data/raw; all else follows."""

    root: Path

    @classmethod
    def at(cls, folder: Path) -> "Workspace":
        """Return the workspace in `folder`, which must hold a params.yaml."""
        if not (folder / "params.yaml").is_file():
            raise ConfigurationError(
                folder.resolve(),
                found="no params.yaml",
                expected="a workspace",
                fix="go to one, name it with --workspace, or make one with `mineralseg init`",
            )
        return cls(folder.resolve())

    def params(self) -> Params:
        """Return the parameters in params.yaml."""
        return Params.parse(read_yaml(self.params_file), source=str(self.params_file))

    @property
    def params_file(self) -> Path:
        """All numbers of the experiment."""
        return self.root / "params.yaml"

    @property
    def legend_file(self) -> Path:
        """The classes."""
        return self.root / "legend.yaml"

    @property
    def samples_file(self) -> Path:
        """The samples and their specimens."""
        return self.root / "samples.csv"

    @property
    def code_file(self) -> Path:
        """Hashes of the code that the stages were declared with; absent where DVC watches the code itself."""
        return self.root / "code.yaml"

    @property
    def raw(self) -> Path:
        """Images and masks as they came: <sample>/image/*, <sample>/label/*."""
        return self.root / "data" / "raw"

    @property
    def manifest(self) -> Path:
        """What ingest found: every file with hash and size."""
        return self.root / "data" / "manifest.json"

    @property
    def aligned(self) -> Path:
        """<sample>/<illumination>.tif, views of a sample on one grid."""
        return self.root / "data" / "aligned"

    @property
    def labels(self) -> Path:
        """<sample>/label.tif, class indices on the grid of the aligned views."""
        return self.root / "data" / "labels"

    @property
    def splits(self) -> Path:
        """The part of every sample."""
        return self.root / "data" / "splits.json"

    @property
    def model(self) -> Path:
        """What training keeps: a bundle without scores."""
        return self.root / "model"

    @property
    def bundle(self) -> Path:
        """The finished bundle, with scores and card."""
        return self.root / "bundle"

    @property
    def evaluation(self) -> Path:
        """The page, pictures and tables of the evaluation."""
        return self.root / "reports" / "evaluation"

    @property
    def alignment(self) -> Path:
        """The page and pictures that show how well the views lie on one another."""
        return self.root / "reports" / "alignment"

    @property
    def labelling(self) -> Path:
        """The page and pictures that show what became of the masks."""
        return self.root / "reports" / "labelling"

    def report(self, stage: str) -> Path:
        """Return where a stage writes its metrics."""
        return self.root / "reports" / f"{stage}.json"

    @property
    def private(self) -> Path:
        """What belongs to this copy alone: MLflow store, checkpoints, working copies, locks."""
        return self.root / ".mineralseg"

    @property
    def working_copies(self) -> Path:
        """Slides at working resolution, by content."""
        return self.private / "working"

    @property
    def scratch(self) -> Path:
        """What lives as long as one command."""
        return self.private / "scratch"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints, by fingerprint of the training."""
        return self.private / "checkpoints"

    def lock(self, name: str) -> Path:
        """Return the lock file of an activity."""
        return self.private / "locks" / f"{name}.lock"
