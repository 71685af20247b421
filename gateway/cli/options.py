"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import Format

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Configuration (YAML); without one, the built-in demo model."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, also at a terminal.")]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="A table at a terminal and JSON elsewhere when left out.")
]
