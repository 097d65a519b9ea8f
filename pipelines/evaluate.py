"""DVC's door to the stage `evaluate`."""

from mineralseg.stages.evaluate import evaluate_model
from mineralseg.stages.runs import MlflowRunBook
from pipelines.door import stage

if __name__ == "__main__":
    with stage("evaluate") as (params, workspace, progress):
        evaluate_model(
            params,
            workspace,
            runs=MlflowRunBook(workspace, experiment=params.project.name),
            progress=progress,
        )
