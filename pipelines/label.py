"""DVC's door to the stage `label`."""

from mineralseg.stages.label import decode_labels
from pipelines.door import stage

if __name__ == "__main__":
    with stage("label") as (params, workspace, progress):
        decode_labels(params, workspace, progress=progress)
