"""The command line: words become calls. Only Typer is imported before a command runs."""

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from mineralseg.cli import data, experiments, models, registration
from mineralseg.cli.boundary import error_boundary

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Mineral segmentation of thin sections, polished ores and SEM-BSE images: from slides to maps.",
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Mineral segmentation of thin sections, polished ores and SEM-BSE images: from slides to maps."""
    if version:
        typer.echo(installed_version("mineralseg"))
        raise typer.Exit


app.command(rich_help_panel="Data")(data.synth)
app.command(rich_help_panel="Data")(data.init)
app.command(rich_help_panel="Data")(data.check)
app.command(rich_help_panel="Data")(registration.register)
app.command(rich_help_panel="Experiments")(experiments.evaluate)
app.add_typer(models.models_app, name="models", rich_help_panel="Models")
app.command(rich_help_panel="Models")(models.promote)
app.command(rich_help_panel="Models")(models.predict)


def run() -> None:
    """Run the command line and exit with its code."""
    with error_boundary():
        app()
