"""What a session does besides statements, as functions of their own: to connect, to ask what a statement returns, to be notified.

Their names have a colon (``shop:connect``), so that a policy for ``shop.*`` speaks of statements only.
"""

from collections.abc import Mapping
from typing import Any

from funcgate.core.function import Function

_TEXT: Mapping[str, Any] = {"type": "string"}
_CONNECT = ("application_name", "client_encoding", "default_transaction_read_only", "timezone", "role")
_SUMMARIES = {
    "connect": "Begins a session",
    "describe": "Asks which parameters and columns a statement has, without running it",
    "notification": "Brings what the database says unasked, such as NOTIFY",
}


def session_functions(target: str) -> dict[str, Function]:
    """By full name."""
    members: dict[str, dict[str, Any]] = {
        "connect": dict.fromkeys(_CONNECT, _TEXT),
        "describe": {"sql": _TEXT},
        "notification": {"channel": _TEXT},
    }
    return {
        f"{target}:{name}": Function(
            target=target, name=name, full_name=f"{target}:{name}", summary=_SUMMARIES[name],
            args_schema={"type": "object", "properties": found},
        )
        for name, found in members.items()
    }  # fmt: skip
