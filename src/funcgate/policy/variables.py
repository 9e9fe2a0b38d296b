"""The variables of a condition: `args`, `principal` and `call`, their types and how they are read from a Call.

Nothing is built before a condition reads it. Tokens and digests are not among them.
"""

from collections.abc import Mapping
from typing import Any

from .language.compile import Members
from .language.types import DYN, STRING, TIMESTAMP, Type, from_schema, list_of, map_of, nullable
from .language.values import Failure, Frame, Timestamp

_PRINCIPAL = (
    ("subject", STRING),
    ("issuer", STRING),
    ("groups", list_of(STRING)),
    ("claims", map_of(STRING, DYN)),
    ("acts_for", nullable(STRING)),
)
_CALL = (
    ("target", STRING),
    ("function", STRING),
    ("session", STRING),
    ("client_ip", STRING),
    ("at", TIMESTAMP),
    ("reason", STRING),
)
WHOLE = frozenset({"args"})


def variable_types(args_schema: Mapping[str, Any]) -> dict[str, Type]:
    """The variables' types for a function with this argument schema."""
    args = from_schema(args_schema)
    if args.name != "map" or args.nullable:
        args = map_of(STRING, DYN)
    return {
        "args": args,
        "principal": Type("map", (STRING, DYN), _PRINCIPAL),
        "call": Type("map", (STRING, DYN), _CALL),
    }


def _groups(frame: Frame) -> list[str]:
    groups = frame.call.principal.groups
    frame.charge(len(groups))
    return sorted(groups)


def _claims(frame: Frame) -> dict[str, Any]:
    claims = frame.call.principal.claims
    return claims if type(claims) is dict else dict(claims)


def _at(frame: Frame) -> Timestamp:
    """Whole microseconds: Unix time as a double holds no more."""
    try:
        return Timestamp(int(frame.call.received_at * 1e6) * 1000)
    except (ValueError, OverflowError):
        raise Failure("the call has no time") from None


MEMBERS: Mapping[str, Members] = {
    "args": Members(whole=lambda frame: frame.args),
    "principal": Members(
        parts={
            "subject": lambda frame: frame.call.principal.subject,
            "issuer": lambda frame: frame.call.principal.issuer,
            "groups": _groups,
            "claims": _claims,
            "acts_for": lambda frame: frame.call.principal.acts_for,
        },
        sets={"groups": lambda frame: frame.call.principal.groups},
    ),
    "call": Members(
        parts={
            "target": lambda frame: frame.call.target,
            "function": lambda frame: frame.call.function,
            "session": lambda frame: frame.call.session,
            "client_ip": lambda frame: frame.call.client,
            "at": _at,
            "reason": lambda frame: frame.call.reason,
        }
    ),
}
