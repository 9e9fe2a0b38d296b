"""`funcgate demo`: everything on this machine, with a scripted scenario."""

from typing import Annotated

import typer


def demo(once: Annotated[bool, typer.Option("--once", help="End after the scenario.")] = False) -> None:
    """Start a provider, a sample service and a gateway here, and show what becomes of some calls."""
    from funcgate.demo import run

    raise typer.Exit(run(once))
