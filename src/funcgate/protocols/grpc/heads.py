"""What a target's heads and trailers say, and what of them crosses to the caller. It reads no message."""

from typing import Any

from msgspec import Struct

from funcgate.core.refusal import Code, Refused
from funcgate.wire.grpc import Malformed, is_binary, read_binary
from funcgate.wire.http1.fields import NOT_RETURNED

Fields = list[tuple[bytes, bytes]]

_MOST_KEPT, _LONGEST_KEPT = 64, 512
# Fields that say nothing of anybody: of heads and trailers with no others, a few are remembered.
_OF_NOBODY = frozenset({
    b":status", b"content-type", b"grpc-encoding", b"grpc-accept-encoding", b"accept-encoding", b"grpc-status", b"server",
})  # fmt: skip
_GRPC = b"application/grpc"
_PSEUDO = ord(":")
_OF_THIS_SIDE = NOT_RETURNED | {b"content-type", b"content-encoding", b"accept-encoding", b"server-timing"}


class Head(Struct, frozen=True):
    """What a head says. `has_status`: also how the call ended."""

    http_status: int
    is_grpc: bool
    has_status: bool
    coding: str
    metadata: Fields


_heads: dict[tuple[tuple[bytes, bytes], ...], Head] = {}
_ends: dict[tuple[tuple[bytes, bytes], ...], Fields] = {}


def head_of(fields: Fields) -> Head:
    """A target answers many calls with one head: a few are remembered. Raises `Refused`."""
    key = tuple(fields)
    found = _heads.get(key)
    if found is None:
        known = dict(fields)
        found = Head(
            int(known.get(b":status", b"0")), known.get(b"content-type", b"").startswith(_GRPC), b"grpc-status" in known,
            known.get(b"grpc-encoding", b"identity").decode("latin-1"), returned(fields),
        )  # fmt: skip
        _keep(_heads, key, found)
    return found


def success(trailers: Fields) -> Fields | None:
    """What crosses of the trailers of a success; None for all others."""
    key = tuple(trailers)
    found = _ends.get(key)
    if found is None:
        # Attack: two statuses, of which one reader takes the failure and another one the success.
        if [value for name, value in trailers if name == b"grpc-status"] != [b"0"]:
            return None
        found = returned(trailers)
        _keep(_ends, key, found)
    return found


def _keep(kept: dict[tuple[tuple[bytes, bytes], ...], Any], key: tuple[tuple[bytes, bytes], ...], found: Any) -> None:
    # Attack: a target that answers each call with another head, so that the memory of them grows; or with a secret in it, which
    # would stay here, unmasked, when the call is long over.
    if (
        all(not value or name in _OF_NOBODY for name, value in key)
        and sum(len(name) + len(value) for name, value in key) <= _LONGEST_KEPT
    ):
        if len(kept) >= _MOST_KEPT:
            kept.clear()
        kept[key] = found


def returned(fields: Fields) -> Fields:
    """The target's metadata that cross to the caller."""
    found: Fields = []
    for name, value in fields:
        if name[0] == _PSEUDO or name in _OF_THIS_SIDE or name.startswith((b"grpc-", b"funcgate-")):
            continue
        if is_binary(name):
            try:
                found += [(name, data) for data in read_binary(value)]
            except Malformed as malformed:
                raise unreadable(str(malformed)) from None
        else:
            found.append((name, value))
    return found


def unreadable(why: str) -> Refused:
    return Refused(Code.MASKING_REFUSED, private_detail=why)
