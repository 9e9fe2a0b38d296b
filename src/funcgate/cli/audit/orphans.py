"""`funcgate audit orphans`: files of content that no line names, listed; removed once a gateway has recorded which, and why."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funcgate.cli.say import DEFAULT_CONFIG, UNUSABLE, AsJson, ConfigFile, fail, plain, print_json

from .folder import DataDir, data_of, readable

if TYPE_CHECKING:
    from funcgate.recording.contents import Orphan

LEAST_S = 3600.0
AT_ONCE = 400  # in one entry
WAIT_S = 15.0


def list_orphans(
    older: Annotated[str, typer.Option("--older", help="Not changed for so long; at least 1h.")] = "24h",
    remove: Annotated[bool, typer.Option("--remove", help="Remove them, once that is recorded.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, with --remove; it is recorded.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List files of content that no line of the journal names, or remove them."""
    data = data_of(config, data_dir, as_json)
    settled_s = _seconds(older, as_json)
    if remove and not reason.strip():
        raise fail("--remove needs --reason: it is recorded", status=UNUSABLE, as_json=as_json)
    found = _found(data, settled_s, as_json, sure=remove)
    removed = _remove(data, found, settled_s, reason, as_json) if remove else []
    if as_json:
        print_json({"orphans": [str(one.path) for one in found], "removed": [str(one.path) for one in removed]})
        return
    for one in found:
        typer.echo(plain(f"{'removed ' if one in removed else ''}{one.path}"))
    typer.echo(f"{len(found)} file(s) that no line names{f', {len(removed)} removed' if remove else ''}")


def _seconds(older: str, as_json: bool) -> float:
    from funcgate.core.units import parse_time

    try:
        seconds = parse_time(older)
    except ValueError as error:
        raise fail(f"--older: {error}", status=UNUSABLE, as_json=as_json) from None
    if seconds < LEAST_S:
        # Attack: remove an object whose line is on its way.
        raise fail(
            "--older is at least 1h: the line of a younger file may be on its way", status=UNUSABLE, as_json=as_json
        )
    return seconds


def _found(data: Path, settled_s: float, as_json: bool, *, sure: bool) -> "list[Orphan]":
    """With `sure`, the command ends if some of the record could not be looked at, or is not whole."""
    from funcgate.recording.contents import ContentError, orphans

    doubts: list[str] = []
    with readable(data / "journal", as_json):
        try:
            found = list(orphans(data, settled_s=settled_s, unsure=doubts.append))
        except ContentError as error:
            raise fail(str(error), as_json=as_json) from None
    for doubt in sorted(set(doubts)):
        # Attack: spoil a line, so that the content that it names is removed as nobody's.
        if sure:
            raise fail(f"{doubt}: nothing is removed", as_json=as_json)
        typer.echo(plain(f"warning: {doubt}"), err=True)
    if sure and found:
        _check_whole(data, as_json)
    return found


def _check_whole(data: Path, as_json: bool) -> None:
    from funcgate.recording.proof import ProofTrouble
    from funcgate.recording.proof.verify import verify

    with readable(data / "journal", as_json):
        try:
            bad = verify(data).first_bad
        except ProofTrouble as trouble:
            raise fail(f"{trouble}: nothing is removed", as_json=as_json) from None
    if bad is not None:
        # Attack: none needed, a disk that lost a segment: what its lines name looks like nobody's. A copy may still have it.
        raise fail(f"{bad.text}: see funcgate audit verify. Until then nothing is removed", as_json=as_json)


def _remove(data: Path, found: "Sequence[Orphan]", settled_s: float, reason: str, as_json: bool) -> "list[Orphan]":
    """Which of them were removed. The journal is read once more after it was recorded: only what still has no line goes."""
    from funcgate.recording.contents import remove

    for at in range(0, len(found), AT_ONCE):
        _record(data, [one.path for one in found[at : at + AT_ONCE]], reason, as_json)
    ordered, removed = set(found), []
    for one in _found(data, settled_s, as_json, sure=True) if found else ():
        with readable(data / "journal", as_json):
            if one in ordered and remove(one, settled_s=settled_s):
                removed.append(one)
    return removed


def _record(data: Path, paths: Sequence[Path], reason: str, as_json: bool) -> None:
    """Have a running gateway record it; ends the command if none does."""
    from funcgate.recording import inbox

    change = {"what": "orphans", "files": [path.name for path in paths], "reason": reason}
    try:
        order = inbox.order(data, change)
        end = time.monotonic() + WAIT_S
        while not _is_recorded(data, order):
            if time.monotonic() > end:
                inbox.done(data / inbox.FOLDER / f"{order}.json")
                text = f"no gateway has recorded it within {WAIT_S:g} s: nothing was removed"
                raise fail(text, as_json=as_json)
            time.sleep(0.2)
    except inbox.BadOrder as bad:
        raise fail(str(bad), as_json=as_json) from None
    except OSError as error:
        raise fail(f"{error.filename or data}: {error.strerror}", as_json=as_json) from None


def _is_recorded(data: Path, order: str) -> bool:
    """Whether the journal itself says so. An order is newer than all lines from before it was left."""
    from funcgate.core.ids import made_at
    from funcgate.recording.folder import lines
    from funcgate.recording.reader import read_line
    from funcgate.recording.retention.rules import time_of

    since = time_of((made_at(order) or 0.0) - 5).encode()
    for line in lines(data / "journal", newest_first=True):
        if line.at < since:
            return False
        entry = read_line(line) if order.encode() in line.line else None
        # Attack: a call whose arguments hold the order's id.
        if entry is not None and entry.kind == "admin" and entry.change.get("order") == order:
            return True
    return False
