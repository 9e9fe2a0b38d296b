"""Where the journal is, and what its readers share: the option that names the folder, and how damage is told."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from funcgate.cli.say import UNUSABLE, fail, usable

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="The folder that holds the journal, instead of --config.")
]


def data_of(config: Path, data_dir: Path | None, as_json: bool) -> Path:
    """The data folder. A configuration with problems elsewhere does not keep anyone from reading it."""
    if data_dir is None:
        from funcgate.config.glance import data_dir_of

        with usable(as_json):
            return data_dir_of(config)
    return data_dir


@contextmanager
def readable(folder: Path, as_json: bool) -> Generator[list[str]]:
    """Gives a list for the segments with lines that cannot be read, and tells of them at the end."""
    damaged: list[str] = []
    try:
        yield damaged
    except ValueError as error:
        raise fail(str(error), status=UNUSABLE, as_json=as_json) from None
    except OSError as error:
        raise fail(f"{folder}: {error.strerror}", as_json=as_json) from None
    # Attack: a line spoilt by whoever wants its call forgotten. It is never passed over in silence.
    if damaged:
        where = ", ".join(sorted(set(filter(None, damaged))))
        typer.echo(f"warning: {len(damaged)} line(s) cannot be read{f' ({where})' if where else ''}", err=True)
