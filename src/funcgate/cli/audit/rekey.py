"""`funcgate audit rekey`: another key for the record's content and the state. What their own keys sealed stays as it is."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from funcgate.cli.say import DEFAULT_CONFIG, UNUSABLE, AsJson, ConfigFile, fail, print_json

from .content import key_at, key_of
from .folder import DataDir, data_of


def rekey(
    before: Annotated[str, typer.Option("--from", metavar="PLACE", help="The key until now: env:NAME or file:PATH.")],
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Go over to the key that the configuration names now. Not beside a running gateway; broken off, run it again."""
    from funcgate.config.glance import state_of
    from funcgate.core.approval import StoreFailed
    from funcgate.recording import inbox
    from funcgate.recording.contents import ContentError, rewrap

    data = data_of(config, data_dir, as_json)
    new = key_of(config, as_json)
    if new is None:
        raise fail(f"{config} names no journal.encryption.key to go over to", status=UNUSABLE, as_json=as_json)
    old = key_at(before, Path(), "--from", as_json)
    try:
        before_key, after_key = bytes.fromhex(old.reveal()), bytes.fromhex(new.reveal())
        count = rewrap(data, before_key, after_key)
        state = _rekeyed(state_of(config, data), before_key, after_key)
        inbox.order(data, {"what": "rekey", "keys": count})
    except (ContentError, StoreFailed, inbox.BadOrder) as error:
        raise fail(str(error), as_json=as_json) from None
    except OSError as error:
        raise fail(f"{error.filename or data}: {error.strerror}", as_json=as_json) from None
    if as_json:
        print_json({"keys": count, "state": state})
    else:
        also = " and the state's" if state else ""
        typer.echo(f"{count} content keys{also} are wrapped under the new key; run funcgate audit reindex next")


def _rekeyed(state: Path, before: bytes, after: bytes) -> bool:
    """Whether there is a state that was encrypted. Raises `StoreFailed`."""
    if not state.exists():  # most have none, and need not load what reads one
        return False
    from funcgate.stores.sql import rekey

    return asyncio.run(rekey(state, before, after))
