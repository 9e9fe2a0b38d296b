"""What the configuration says of a target's credential, and what is wrong with it.

Holds where a secret is, never the secret. Refuses names that would break the message they are put in.
"""

import re
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from funcgate.core.problem import Problem

Where = tuple[str | int, ...]

# RFC 9110, 5.6.2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_FILE = re.compile(r"file:([^\x00-\x1f\x7f]+)")

# Fields that frame or route a message (RFC 9110, 7.6.1; RFC 9112, 6), or that are the gateway's own.
_RESERVED = frozenset(
    {
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


class CredentialSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target's `credential`. `secret` is ``env:NAME`` or ``file:PATH``; `name` is the header or query parameter."""

    type: Literal["bearer", "basic", "header", "query", "password"]
    secret: str
    user: str = ""
    name: str = ""

    def __repr__(self) -> str:
        return f"CredentialSpec({self.type}, {self._shown()})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("type", self.type), ("secret", self._shown())]

    def _shown(self) -> str:
        # Attack: somebody writes the secret itself where its place belongs, and an error report shows it.
        return self.secret if place_of(self.secret) else "…"


class Place(Struct, frozen=True):
    """Where a secret is: the name of an environment variable, or the path of a file."""

    kind: Literal["env", "file"]
    name: str


def place_of(secret: str) -> Place | None:
    """The place that ``env:NAME`` or ``file:PATH`` names, None for anything else."""
    if found := _ENV.fullmatch(secret):
        return Place("env", found[1])
    if found := _FILE.fullmatch(secret):
        return Place("file", found[1])
    return None


def faults_of(spec: CredentialSpec, where: Where) -> list[Problem]:
    """Everything that is wrong with the spec as it stands, without looking for the secret."""
    problems: list[Problem] = []

    def fault(at: str, text: str) -> None:
        problems.append(Problem(where=(*where, at), text=text))

    if place_of(spec.secret) is None:
        fault("secret", "secret must be env:NAME or file:PATH, never the secret itself")
    if spec.user and spec.type not in ("basic", "password"):
        fault("user", f"user does nothing with type {spec.type}: remove it")
    # RFC 7617, 2: the first colon ends the user name.
    if (":" in spec.user and spec.type == "basic") or not spec.user.isprintable():
        fault("user", "user must hold no colon and no control character")
    if spec.type == "password" and not spec.user:
        fault("user", "type password needs the user to log in as")
    _check_name(spec, fault)
    return problems


def _check_name(spec: CredentialSpec, fault: Callable[[str, str], None]) -> None:
    if spec.type in ("bearer", "basic", "password"):
        if spec.name:
            fault("name", f"name does nothing with type {spec.type}: remove it")
    elif not spec.name:
        fault("name", f"type {spec.type} needs the name of the {'header' if spec.type == 'header' else 'parameter'}")
    elif spec.type == "query":
        if not spec.name.isprintable():
            fault("name", "the parameter's name must hold no control character")
    elif _TOKEN.fullmatch(spec.name) is None:
        # Attack: "X: a\r\nHost: b" as a name writes a header of its own.
        fault("name", f"{spec.name!r} is not a header name")
    elif spec.name.lower() in _RESERVED or spec.name.lower().startswith("funcgate-"):
        # Attack: a credential in Transfer-Encoding or Host decides where the message ends or goes.
        fault("name", f"{spec.name} frames or routes messages and cannot carry a credential")
