"""`funcgate audit reindex`: builds the index anew from the journal, beside a running gateway or without one."""

import sqlite3
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from funcgate.cli.say import DEFAULT_CONFIG, AsJson, ConfigFile, fail, print_json

from .content import key_of, opener_of
from .folder import DataDir, data_of, readable

if TYPE_CHECKING:
    from funcgate.recording.index.following import Progress

NoText = Annotated[bool, typer.Option("--no-text", help="Leave the words of arguments and answers out.")]


def reindex(
    no_text: NoText = False, config: ConfigFile = DEFAULT_CONFIG, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Build the search index anew from the journal. A running gateway is asked to do it."""
    from funcgate.recording.index.asking import last_seq
    from funcgate.recording.index.database import Locked, locked

    data = data_of(config, data_dir, as_json)
    since = time.perf_counter()
    with readable(data / "journal", as_json) as damaged:
        lines = last_seq(data / "journal")
        try:
            with bar(lines) as progress:
                try:
                    with locked(data):
                        _build(data, config, progress, damaged, text=not no_text and _text_in(config), as_json=as_json)
                except Locked:
                    _await(data, lines, progress)
        except sqlite3.Error as error:
            raise fail(f"{data}: {error}", as_json=as_json) from None
    took = time.perf_counter() - since
    if as_json:
        print_json({"lines": lines, "seconds": round(took, 3)})
    else:
        typer.echo(f"{lines} lines indexed in {took:.1f} s ({lines / max(took, 1e-6):,.0f} lines/s)")


def _text_in(config: Path) -> bool:
    """What the configuration says of `index.text`, if there is one."""
    from funcgate.config.glance import read_file
    from funcgate.config.source import Source

    tree = Source(str(config), read_file(config)).tree if config.exists() else None
    index = tree.get("index") if isinstance(tree, dict) else None
    return not (isinstance(index, dict) and index.get("text") is False)


def _await(data: Path, lines: int, progress: "Progress") -> None:
    """The keeper of a running gateway has the index: ask it, and wait until it holds those lines again."""
    from funcgate.recording.index.asking import position
    from funcgate.recording.index.database import REBUILD, Unfit

    asked = data / REBUILD
    asked.touch(mode=0o600)
    done = 0
    while asked.exists() or done < lines:
        time.sleep(0.1)
        if asked.exists():
            continue
        try:
            now = position(data)
        except (FileNotFoundError, Unfit):
            now = 0
        progress(max(0, now - done))
        done = max(done, now)


def _build(data: Path, config: Path, progress: "Progress", damaged: list[str], *, text: bool, as_json: bool) -> None:
    from funcgate.recording.index.database import NAME, remove
    from funcgate.recording.index.following import catch_up, open_indexer
    from funcgate.recording.index.keys import secret_of

    key = key_of(config, as_json) if config.exists() else None
    secret = secret_of(None if key is None else bytes.fromhex(key.reveal()))
    remove(data / NAME)
    with closing(opener_of(data, config, as_json)) as opener:
        indexer = open_indexer(data, secret=secret, text=text, opened=opener.open)
        with closing(indexer):
            catch_up(data / "journal", indexer, progress=progress, damaged=damaged.append)


@contextmanager
def bar(total: int) -> "Generator[Progress]":
    """A bar on standard error, with lines a second; nothing where that is no terminal."""
    import rich.progress
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    out = Console(file=sys.stderr)
    columns = (
        TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]} lines/s"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with rich.progress.Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as shown:
        task = shown.add_task("indexing", total=total, rate="-")

        def advance(count: int) -> None:
            shown.advance(task, count)
            shown.update(task, rate=f"{shown.tasks[task].speed or 0:,.0f}")

        yield advance
