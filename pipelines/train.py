"""DVC's door to the stage `train`."""

from mineralseg.stages.runs import MlflowRunBook
from mineralseg.stages.train import train_model
from pipelines.door import stage

if __name__ == "__main__":
    with stage("train") as (params, workspace, progress):
        train_model(
            params,
            workspace,
            runs=MlflowRunBook(workspace, experiment=params.project.name),
            progress=progress,
        )
