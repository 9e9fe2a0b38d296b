"""Arguments of a call as they cross to the gateway's own process: the very values, in their order, of the very types.

JSON would make one value of two: NaN of None, text of bytes, lists of tuples. MessagePack carries all but these two:
an integer beyond 64 bits is an extension, and a list's first member says whether it is a tuple.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

_LARGE = 1  # the extension: an integer in two's complement, big-endian
_PLAIN = frozenset({type(None), bool, float, str, bytes})
_SMALL = range(-(1 << 63), 1 << 64)

_encode = msgspec.msgpack.Encoder().encode


def pack(args: Mapping[str, Any]) -> bytes:
    """Raises `ValueError` for values of other types, and what is nested too deeply."""
    try:
        return _encode({name: _packed(value) for name, value in args.items()})
    except RecursionError:
        raise ValueError("arguments are nested too deeply") from None


def unpack(packed: bytes) -> dict[str, Any]:
    """Raises `ValueError` for what `pack` does not make."""
    try:
        found = _decoder.decode(packed)
        if type(found) is not dict:
            raise ValueError("no arguments")
        return {_name(name): _unpacked(value) for name, value in found.items()}
    except RecursionError:
        raise ValueError("arguments are nested too deeply") from None


def _packed(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        if value in _SMALL:
            return value
        size = (value.bit_length() >> 3) + 1  # one bit more than it has: its sign
        return msgspec.msgpack.Ext(_LARGE, value.to_bytes(size, "big", signed=True))
    if kind is dict:
        return {_name(name): _packed(member) for name, member in value.items()}
    if kind is list or kind is tuple:
        return [kind is tuple, *map(_packed, value)]
    raise ValueError(f"an argument is a {kind.__name__}")


def _unpacked(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN or kind is int:
        return value
    if kind is dict:
        return {_name(name): _unpacked(member) for name, member in value.items()}
    if kind is not list or not value or type(value[0]) is not bool:
        raise ValueError("no arguments")
    members = map(_unpacked, value[1:])
    return tuple(members) if value[0] else list(members)


def _name(name: Any) -> str:
    if type(name) is not str:
        raise ValueError("an argument's name is no text")
    return name


def _large(code: int, data: memoryview) -> int:
    # Attack: an extension of another kind, for which some object of another type would be made.
    if code != _LARGE:
        raise ValueError("no arguments")
    return int.from_bytes(data, "big", signed=True)


_decoder = msgspec.msgpack.Decoder(ext_hook=_large)
