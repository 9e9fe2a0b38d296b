"""`funcgate audit who`: who invoked a function, how often, and how that was decided."""

from typing import TYPE_CHECKING, Annotated

import typer

from funcgate.cli.say import DEFAULT_CONFIG, AsJson, ConfigFile, console, plain, print_json

from .finding import Finder, Scan, filters_of
from .folder import DataDir, data_of, readable

if TYPE_CHECKING:
    from funcgate.recording.index.people import Caller


def who_called(
    function: Annotated[str, typer.Argument(help="TARGET.FUNCTION, with * as a wildcard.")],
    decision: Annotated[str, typer.Option("--decision", help="allow, deny, ask or none.")] = "",
    since: Annotated[str, typer.Option("--since", help="A time (RFC 3339), a date, or how long ago: 15m.")] = "",
    until: Annotated[str, typer.Option("--until", help="As --since; calls before it.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many callers.")] = 50,
    scan: Scan = False,
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say who invoked a function: most calls first."""
    filters = filters_of(as_json, function=function, decision=decision, since=since, until=until)
    data = data_of(config, data_dir, as_json)
    with readable(data / "journal", as_json) as damaged:
        callers = Finder(data, config, damaged, scan=scan, as_json=as_json).callers(filters)
    if as_json:
        print_json(callers[:limit])
    else:
        _print(callers[:limit])
    if len(callers) > limit:
        typer.echo(f"and {len(callers) - limit} more: --limit", err=True)


def _print(callers: "list[Caller]") -> None:
    from rich.table import Table

    table = Table(
        "who", "groups", "calls", "allowed", "denied", "held", "first", "last", "last call", box=None, pad_edge=False
    )
    for caller in callers:
        who = caller.who
        name = "nobody identified" if who is None else f"{who.issuer}/{who.subject}"
        if who is not None and who.acts_for:
            name += f" for {who.acts_for}"
        cells = (
            name, ", ".join(who.groups) if who is not None else "-", str(caller.calls), str(caller.allowed), str(caller.denied),
            str(caller.held), _time(caller.first), _time(caller.last), caller.last_call,
        )  # fmt: skip
        table.add_row(*map(plain, cells))
    console().print(table)


def _time(at: str) -> str:
    return at[:19].replace("T", " ") or "-"
