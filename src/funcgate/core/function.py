"""What can be called: a target and its functions. Protocol-free; the binding to a wire lives in catalog/."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """What one call of a target may use. Sizes in bytes, times in seconds. `max_rows` is of an answer, 0 where there are none.

    A stream of messages, events or lines has `stream_timeout_s` for `timeout_s`, and `stream_idle_timeout_s` for every wait for
    its target; with `end_with_token` it ends when the caller's token does.
    """

    max_request: int = 1 << 20
    max_response: int = 16 << 20
    timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 30.0
    idle_timeout_s: float = 30.0
    stream_timeout_s: float = 86_400.0
    stream_idle_timeout_s: float = 600.0
    end_with_token: bool = True
    max_connections: int = 256
    max_wait_s: float = 30.0
    max_rows: int = 0


class Function(Struct, frozen=True, kw_only=True):
    """One callable thing of a target.

    `args_schema` is a JSON Schema (draft 2020-12) of type ``object`` over the merged arguments. `name` is
    the bare name; policies and entries use `full_name`, ``TARGET.NAME``.
    """

    target: str
    name: str
    full_name: str
    args_schema: Mapping[str, Any]
    summary: str = ""
    risk: str = ""
    owner: str = ""
