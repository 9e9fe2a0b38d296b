"""What opens the content of the record: the key that the configuration names, if it names one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from funcgate.cli.say import UNUSABLE, fail

if TYPE_CHECKING:
    from funcgate.core.secret import Secret
    from funcgate.recording.contents import Opener


def opener_of(data: Path, config: Path, as_json: bool) -> "Opener":
    """Opens what is encrypted at rest if `config` is there and names the key; else that stays sealed, and is told as such."""
    from funcgate.recording.contents import ContentError, Opener

    key = key_of(config, as_json) if config.exists() else None
    try:
        return Opener(data, None if key is None else bytes.fromhex(key.reveal()))
    except ContentError as error:
        raise fail(str(error), as_json=as_json) from None


def key_of(config: Path, as_json: bool) -> "Secret | None":
    """The key that the configuration names for the record, in hex; None if it names none."""
    from funcgate.config.glance import read_file
    from funcgate.config.source import Source

    named: Any = Source(str(config), read_file(config)).tree
    for name in ("journal", "encryption", "key"):
        named = named.get(name) if isinstance(named, dict) else None
    if named is None:
        return None
    return key_at(str(named), config.parent, f"{config}: journal.encryption.key", as_json)


def key_at(place: str, base: Path, named: str, as_json: bool) -> "Secret":
    """The key at ``env:NAME`` or ``file:PATH`` (below `base`), in hex. `named` is what to call it if it cannot be had."""
    from funcgate.config.secrets import Secrets
    from funcgate.core.problem import Problem

    problems: list[Problem] = []
    key = Secrets(base, problems, needed=True).key(place, ())
    if key is None:
        text = "; ".join(problem.text for problem in problems if not problem.warning)
        raise fail(f"{named}: {text}", status=UNUSABLE, as_json=as_json)
    return key
