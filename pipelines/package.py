"""DVC's door to the stage `package`."""

from mineralseg.stages.package import package_model
from pipelines.door import stage

if __name__ == "__main__":
    with stage("package") as (params, workspace, progress):
        package_model(params, workspace, progress=progress)
