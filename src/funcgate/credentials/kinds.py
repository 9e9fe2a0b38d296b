"""From a secret to a lease: what each type of credential adds to a message, and which values it cannot carry.

Raises nothing and prints nothing: a frame that holds a secret in clear must not end up in a traceback.
"""

import base64
from collections.abc import Callable, Mapping

from funcgate.core.lease import Lease
from funcgate.core.secret import Secret

from .spec import CredentialSpec
from .spellings import MIN_CHARS, spellings

MAX_CHARS = 16_384


def fault_of(secret: Secret, spec: CredentialSpec) -> str:
    """Why `secret` cannot be used for `spec`, or "". Holds nothing of the secret, not even its length."""
    value = secret.reveal()
    if not value:
        return "is empty"
    if len(value) < MIN_CHARS:
        # It would have to be scrubbed from answers, and so would be every word that happens to contain it.
        return f"is shorter than {MIN_CHARS} characters and could not be scrubbed from answers"
    if len(value) > MAX_CHARS:
        return f"is longer than {MAX_CHARS} characters"
    # Attack: a line feed in the secret writes a header, or a request, of its own.
    if any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in value):
        return "holds a control character, a line feed within it, or bytes that are not UTF-8"
    if spec.type in ("bearer", "header") and not value.isascii():
        return "holds characters that a header cannot carry (only ASCII can)"
    if value.strip() != value or (spec.type == "bearer" and " " in value):
        return "has a space where none may be"
    return ""


def lease_for(secret: Secret, spec: CredentialSpec) -> Lease:
    """The lease for a secret in which `fault_of` found no fault."""
    return _KINDS[spec.type](secret, spec)


def _bearer(secret: Secret, spec: CredentialSpec) -> Lease:
    # RFC 6750, 2.1
    return Lease(headers=(("Authorization", Secret("Bearer " + secret.reveal())),), needles=spellings(secret))


def _basic(secret: Secret, spec: CredentialSpec) -> Lease:
    # RFC 7617, 2 and 2.1: UTF-8
    pair = Secret(f"{spec.user}:{secret.reveal()}")
    encoded = Secret(base64.b64encode(pair.reveal().encode()).decode())
    header = Secret("Basic " + encoded.reveal())
    return Lease(headers=(("Authorization", header),), needles=spellings(secret, pair, encoded))


def _header(secret: Secret, spec: CredentialSpec) -> Lease:
    return Lease(headers=((spec.name, secret),), needles=spellings(secret, *_parts(secret, spec.name.lower())))


def _query(secret: Secret, spec: CredentialSpec) -> Lease:
    return Lease(query=((spec.name, secret),), needles=spellings(secret))


def _password(secret: Secret, spec: CredentialSpec) -> Lease:
    # For protocols that log in: the pairs are `user` and `password`.
    return Lease(headers=(("user", Secret(spec.user)), ("password", secret)), needles=spellings(secret))


_KINDS: Mapping[str, Callable[[Secret, CredentialSpec], Lease]] = {
    "bearer": _bearer,
    "basic": _basic,
    "header": _header,
    "query": _query,
    "password": _password,
}


def _parts(secret: Secret, name: str) -> list[Secret]:
    """What a target may take out of a header and echo alone: credentials after their scheme, values of cookies."""
    if name == "authorization":
        return [Secret(secret.reveal().partition(" ")[2].strip())]
    if name == "cookie":
        return [Secret(pair.partition("=")[2].strip()) for pair in secret.reveal().split(";")]
    return []
