"""DVC's door to the stage `align`."""

from mineralseg.stages.align import align_slides
from pipelines.door import stage

if __name__ == "__main__":
    with stage("align") as (params, workspace, progress):
        align_slides(params, workspace, progress=progress)
