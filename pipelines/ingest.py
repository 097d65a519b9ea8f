"""DVC's door to the stage `ingest`."""

from mineralseg.stages.ingest import ingest_slides
from pipelines.door import stage

if __name__ == "__main__":
    with stage("ingest") as (params, workspace, progress):
        ingest_slides(params, workspace, progress=progress)
