"""`funcgate audit expire`: what would expire now, what is held, and the word that the clock is right. Deletes nothing itself."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funcgate.cli.say import DEFAULT_CONFIG, UNUSABLE, AsJson, ConfigFile, console, fail, plain, print_json, usable

from .content import opener_of
from .folder import readable
from .hold import leave_order

if TYPE_CHECKING:
    from funcgate.recording.retention.outlook import Outlook


def expire(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would expire now, and what is held.")] = False,
    clock_is_right: Annotated[
        bool, typer.Option("--clock-is-right", help="Have expiry believe the clock after a leap; it is recorded.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, with --clock-is-right.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Look at what is due. The keeper of a running gateway lets it expire, about once an hour, on its own."""
    from funcgate.app import read_parts

    if dry_run == clock_is_right:
        raise fail(
            "say --dry-run, or --clock-is-right; what is due expires on its own", status=UNUSABLE, as_json=as_json
        )
    with usable(as_json):
        keeper = read_parts(config, need_secrets=False).keeper
    data = Path(keeper.data_dir)
    if clock_is_right:
        _vouch(data, reason, as_json)
        return
    from funcgate.recording.chore import ChoreFailed
    from funcgate.recording.retention.outlook import outlook

    try:
        with readable(data / "journal", as_json):
            found = outlook(data, keeper.retention, opener_of(data, config, as_json), time.time())
    except ChoreFailed as failed:
        raise fail(str(failed), as_json=as_json) from None
    if as_json:
        print_json(found)
    else:
        _print(found, ruled=bool(keeper.retention))


def _vouch(data: Path, reason: str, as_json: bool) -> None:
    from funcgate.recording.retention.holds import reasoned
    from funcgate.recording.retention.orders import CLOCK

    try:
        change = {"what": CLOCK, "reason": reasoned(reason)}
    except ValueError as error:
        raise fail(str(error), status=UNUSABLE, as_json=as_json) from None
    leave_order(data, change, as_json)


def _print(found: "Outlook", *, ruled: bool) -> None:
    from rich.table import Table

    if not ruled:
        typer.echo("there are no rules of retention: everything is kept for ever")
        return
    typer.echo(f"as of {found.now[:19].replace('T', ' ')} UTC")
    if found.doubt:
        typer.echo(f"warning: {found.doubt}", err=True)
    table = Table("", "class", "target", "keys", "objects", "segments", box=None, pad_edge=False)
    for state, orders in (("ordered", found.ordered), ("due", found.due)):
        for order in orders:
            counts = (str(len(names) or "-") for names in (order.keys, order.objects, order.segments))
            table.add_row(state, order.cls, plain(order.target or "-"), *counts)
    out = console()
    if table.row_count:
        out.print(table)
    else:
        typer.echo("nothing is due")
    if found.kept:
        kept = Table("kept", "class", "because of", box=None, pad_edge=False)
        for one in found.kept:
            kept.add_row(plain(one.name), one.cls, plain(one.why))
        out.print(kept)
