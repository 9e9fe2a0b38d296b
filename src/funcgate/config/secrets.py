"""Secrets that the record needs: its own key, and those of the places that it is sent to. Named, never written down."""

import base64
import binascii
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from funcgate.core.problem import Problem
from funcgate.core.secret import Secret
from funcgate.credentials.sources import SecretFile, Unreadable, from_environment
from funcgate.credentials.spec import place_of

from .shape import Config

Where = tuple[str | int, ...]

KEY_BYTES = 32


class Secrets:
    """Reads secrets by ``env:NAME`` and ``file:PATH``; what is wrong becomes a problem at its place.

    `needed` False judges the names alone: on a machine that does not have the secrets.
    """

    def __init__(
        self, base: Path, problems: list[Problem], *, needed: bool, environ: Mapping[str, str] | None = None
    ) -> None:
        self.base = base
        self._environ = os.environ if environ is None else environ
        self._problems = problems
        self._needed = needed

    def read(self, text: str, where: Where) -> Secret:
        """The secret; an empty one when it is not needed or cannot be had."""
        return self._found(text, where) or Secret("")

    def key(self, text: str, where: Where) -> Secret | None:
        """A key of 32 bytes from hex or base64, in hex."""
        found = self._found(text, where)
        if found is None:
            return None
        key = _key(found)
        if key is None:
            self._say(where, f"the key must be {KEY_BYTES} bytes, in base64 or hex (openssl rand -base64 {KEY_BYTES})")
        return key

    def _found(self, text: str, where: Where) -> Secret | None:
        place = place_of(text)
        if place is None:
            # Attack: none yet, a slip: the secret itself where its place belongs. It is not repeated here.
            self._say(where, "this must be env:NAME or file:PATH, never the secret itself")
            return None
        if not self._needed:
            return None
        secret = from_environment(place.name, self._environ) if place.kind == "env" else self._file(place.name, where)
        if secret is None and place.kind == "env":
            self._say(where, f"the environment variable {place.name} is not set")
        elif secret is not None and not secret:
            self._say(where, "the secret is empty")
        return secret or None

    def _file(self, name: str, where: Where) -> Secret | None:
        file = SecretFile(self.base / name)
        if exposure := file.exposure():
            text = f"the secret file {file.path} {exposure}: take the permission away (chmod o-rw)"
            self._problems.append(Problem(where=where, text=text, warning=True))
        try:
            return file.read()
        except Unreadable as why:
            self._say(where, f"the secret file {why}")
            return None

    def _say(self, where: Where, text: str) -> None:
        self._problems.append(Problem(where=where, text=text))


def secret_variables(config: Config) -> frozenset[str]:
    """The environment variables that the file names anywhere; those of S3 (``AWS_…``), which copies need, left out."""
    return frozenset(name for name in _variables(msgspec.to_builtins(config)) if not name.startswith("AWS_"))


def carried_variables(config: Config) -> frozenset[str]:
    """Those of them that a process needs to carry calls: its targets' secrets, and the key of the content that it keeps."""
    return frozenset(_variables(msgspec.to_builtins([config.targets, config.journal.encryption])))


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _variables(item)
    elif isinstance(value, str) and (place := place_of(value)) is not None and place.kind == "env":
        yield place.name


def _key(secret: Secret) -> Secret | None:
    text = secret.reveal().strip()
    decode: Callable[[str], bytes] = bytes.fromhex if re.fullmatch(r"[0-9A-Fa-f]{64}", text) else _base64
    try:
        key = decode(text)
    except (ValueError, binascii.Error):
        return None
    return Secret(key.hex()) if len(key) == KEY_BYTES else None


def _base64(text: str) -> bytes:
    """Either alphabet, with or without padding."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
