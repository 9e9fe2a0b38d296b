"""`funcgate audit export`: a range of the journal in another tool's format. The gateway may run or not."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funcgate.cli.say import DEFAULT_CONFIG, REFUSED, UNUSABLE, AsJson, ConfigFile, fail, print_json

from .content import opener_of
from .folder import DataDir, data_of, readable

if TYPE_CHECKING:
    from funcgate.recording.export.places import Place
    from funcgate.recording.export.run import Export, Exported, Progress
    from funcgate.recording.filters import Filters


def export_calls(
    out: Annotated[str, typer.Option("--out", "-o", help="FILE, s3://BUCKET/KEY, or - for standard output.")],
    form: Annotated[str, typer.Option("--format", "-f", help="jsonl, ocsf, cef, csv or parquet.")] = "jsonl",
    principal: Annotated[str, typer.Option("--principal", help="SUBJECT, user:SUBJECT or group:NAME.")] = "",
    group: Annotated[str, typer.Option("--group")] = "",
    function: Annotated[str, typer.Option("--function", help="TARGET.FUNCTION, with * as a wildcard.")] = "",
    target: Annotated[str, typer.Option("--target")] = "",
    decision: Annotated[str, typer.Option("--decision", help="allow, deny, ask or none.")] = "",
    code: Annotated[str, typer.Option("--code", help="Why it was refused, such as policy.denied or identity.*.")] = "",
    policy: Annotated[str, typer.Option("--policy")] = "",
    session: Annotated[str, typer.Option("--session")] = "",
    client: Annotated[str, typer.Option("--client", help="An address or a network.")] = "",
    approver: Annotated[str, typer.Option("--approver")] = "",
    text: Annotated[str, typer.Option("--text", help="Words of arguments or answers.")] = "",
    since: Annotated[str, typer.Option("--since", help="A time (RFC 3339), a date, or how long ago: 15m.")] = "",
    until: Annotated[str, typer.Option("--until", help="As --since; calls before it.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an export that was interrupted.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write calls to a file, a bucket or standard output, oldest first."""
    from msgspec import to_builtins

    chosen = {
        "principal": principal, "group": group, "function": function, "target": target, "decision": decision, "code": code,
        "policy": policy, "session": session, "client": client, "approver": approver, "text": text, "since": since,
        "until": until,
    }  # fmt: skip
    options = {"format": form, "out": out} | {name: value for name, value in chosen.items() if value}
    if out == "-" and as_json:
        raise fail("--json and --out - would both write to standard output", status=UNUSABLE, as_json=as_json)
    data = data_of(config, data_dir, as_json)
    with readable(data / "journal", as_json) as damaged:
        export = _prepared(data, config, chosen, options, resume, as_json)
        order_export(data, options | {"state": "resumed" if export.resumed else "begun"}, as_json)
        with _told(as_json), _bar() as progress:
            done = export.run(damaged.append, progress)
        told = to_builtins(done)
        order_export(data, options | {"state": "complete"} | told, as_json)
    _tell(done, options["out"], damaged, as_json)


def _prepared(
    data: Path, config: Path, chosen: Mapping[str, str], options: Mapping[str, str], resume: bool, as_json: bool
) -> "Export":
    from funcgate.recording.export.run import Export, Wanted

    with _told(as_json):
        wanted = Wanted(format=options["format"], filters=_filters(chosen), options=options)
        opened = opener_of(data, config, as_json).look
        return Export(
            data / "journal", wanted, _place(options["out"], options["format"], resume), resume=resume, opened=opened
        )


def _filters(chosen: Mapping[str, str]) -> "Filters":
    from funcgate.recording.filters import Filters
    from funcgate.recording.reader import moment

    times = {name: moment(chosen[name]) for name in ("since", "until") if chosen[name]}
    return Filters(**{**chosen, **times})


def _place(out: str, form: str, resume: bool) -> "Place":
    from funcgate.recording.export.cursor import Unfit
    from funcgate.recording.export.places import FilePlace, StreamPlace

    if out == "-":
        if resume:
            raise Unfit("what went to standard output cannot be continued: leave --resume out, or name a file")
        return StreamPlace(sys.stdout.buffer)
    if out.startswith("s3://"):
        from funcgate.recording.export.bucket import BucketPlace

        return BucketPlace(out)
    if "://" in out:
        raise Unfit("expected a FILE, s3://BUCKET/KEY or -")
    if form == "parquet":
        from funcgate.recording.export.formats.parquet import joined
        from funcgate.recording.export.parted import PartedFile

        return PartedFile(Path(out), joined)
    return FilePlace(Path(out))


@contextmanager
def _told(as_json: bool) -> Generator[None]:
    """Ends the command with what is wrong with its place, its format or its range."""
    from funcgate.recording.export.cursor import Unfit
    from funcgate.recording.export.formats import Unavailable

    try:
        yield
    except (Unfit, Unavailable) as error:
        raise fail(str(error), status=UNUSABLE, as_json=as_json) from None
    except OSError as error:
        raise fail(f"{error.filename or ''} {error.strerror or error}".strip(), as_json=as_json) from None


def order_export(data: Path, change: Mapping[str, Any], as_json: bool) -> None:
    """Attack: take the record out, and break off before the end so that nothing tells of it. It is told at its beginning."""
    from funcgate.recording.inbox import order

    try:
        order(data, {"what": "export", **change})
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise fail(f"the export cannot be recorded, so it is not made: {said}", as_json=as_json) from None


@contextmanager
def _bar() -> "Generator[Progress]":
    """A bar on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    out = Console(stderr=True)
    with Progress(console=out, disable=not out.is_terminal, transient=True) as progress:
        task = progress.add_task("lines", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _tell(done: "Exported", out: str, damaged: list[str], as_json: bool) -> None:
    from msgspec import to_builtins

    if as_json:
        print_json({"out": out, "damaged": len(damaged), **to_builtins(done)})
    else:
        typer.echo(f"{done.rows} rows, {done.bytes} bytes, sha256 {done.sha256}", err=True)
    for why, count in done.lost.items():
        typer.echo(f"warning: the content of {count} entries is not in it: {_WHY[why]}", err=True)
    if damaged or done.lost.keys() - {"expired"}:
        raise typer.Exit(REFUSED)


_WHY = {
    "expired": "it has expired",
    "missing": "it is not there, and nothing says that it expired",
    "altered": "it is not what was recorded",
    "locked": "it is encrypted, and no journal.encryption.key is configured",
}
