"""DVC's door to the stage `split`."""

from mineralseg.stages.split import split_samples
from pipelines.door import stage

if __name__ == "__main__":
    with stage("split") as (params, workspace, progress):
        split_samples(params, workspace, progress=progress)
