"""Package: weights, scores and card in one folder that can be mailed."""

import json
from typing import Any

from mineralseg.config.data import AlignByRegistration
from mineralseg.config.params import Params
from mineralseg.core.progress import Progress
from mineralseg.io.files import read_json, write_json
from mineralseg.models.bundle import Scores, load_bundle, save_bundle
from mineralseg.models.card import render_card
from mineralseg.stages.workspace import Workspace


def package_model(params: Params, workspace: Workspace, *, progress: Progress) -> dict[str, Any]:
    """Write bundle/ from model/ and the report of its evaluation, and return the stage's report."""
    scores = Scores.model_validate_json(json.dumps(read_json(workspace.report("evaluate"))))
    align = params.align if isinstance(params.align, AlignByRegistration) else None
    bundle = load_bundle(workspace.model).with_scores(scores).with_alignment(align)
    save_bundle(bundle, workspace.bundle, card=render_card(bundle.spec, name=params.project.name))
    weights = bundle.weights.values()
    report = {
        "parameters": sum(each.numel() for each in weights if each.is_floating_point()),
        "weights_sha256": bundle.spec.weights_sha256,
    }
    progress(f"package: {report['parameters']:,} parameters")
    write_json(workspace.report("package"), report)
    return report
