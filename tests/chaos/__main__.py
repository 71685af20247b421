"""`python -m tests.chaos --seconds 300 --seed 1 --out chaos.html`: a chaos run with its table and its page.

The exit status is 0 when every promise was kept and 1 when one was broken.
"""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.chaos import report
from tests.chaos.run import Plan, run


def main(
    seconds: Annotated[float, typer.Option(help="How long the faults rotate.", min=5)] = 300,
    seed: Annotated[int, typer.Option(help="What goes wrong, and when; the same seed gives the same faults.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("chaos.html"),
    workers: Annotated[int, typer.Option(help="Worker processes of the gateway.", min=1)] = 1,
    clients: Annotated[int, typer.Option(help="Clients that ask at one time; half of them stream.", min=1)] = 64,
    keep: Annotated[Path | None, typer.Option(help="Folder for the gateway's log and ledger; none is kept.")] = None,
) -> None:
    """Run the gateway in front of three deployments that fall ill by turns, and say what its clients saw."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        made = run(Plan(seconds, seed, workers, clients), keep or Path(folder))
    out.write_text(report.page(made))
    report.table(made, console)
    console.print(f"page: {out}")
    sys.exit(1 if made.broken_promises() else 0)


if __name__ == "__main__":
    typer.run(main)
