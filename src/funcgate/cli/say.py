"""What all verbs share: their common options, how they print, and how they end."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from funcgate.config.problems import Located

DONE, REFUSED, UNUSABLE = 0, 1, 2

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print machine-readable output.")]
DEFAULT_CONFIG = Path("funcgate.yaml")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def console() -> "Console":
    """For tables. As wide as the terminal; wide enough for anything when there is none, so that a pipe gets whole lines."""
    from rich.console import Console

    out = Console(highlight=False, emoji=False, markup=False)
    return out if out.is_terminal else Console(highlight=False, emoji=False, markup=False, width=200)


def plain(text: str) -> str:
    """Text that came from a caller or a target, for a terminal."""
    # Attack: escape sequences in a subject, a session or an answer that rewrite what the operator sees.
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


def fail(text: str, *, status: int = REFUSED, as_json: bool = False) -> typer.Exit:
    """Say why and end; to be raised."""
    if as_json:
        print_json({"error": text})
    else:
        typer.echo(f"funcgate: {text}", err=True)
    return typer.Exit(status)


def print_problems(problems: "list[Located]") -> None:
    for problem in problems:
        typer.echo(str(problem), err=True)


@contextmanager
def usable(as_json: bool = False) -> Generator[None]:
    """Ends the command with status 2, and every problem, when the configuration inside is unusable."""
    from funcgate.config.problems import Faulty

    try:
        yield
    except Faulty as faulty:
        if as_json:
            print_json({"usable": False, "problems": faulty.problems})
        else:
            print_problems(faulty.problems)
        raise typer.Exit(UNUSABLE) from None
    except OSError as error:
        raise fail(f"{error.filename or ''}: {error.strerror or error}", as_json=as_json) from None
