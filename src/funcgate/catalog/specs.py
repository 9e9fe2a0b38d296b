"""How the configuration names a target's functions: an OpenAPI file, or a list written by hand."""

from typing import Any, Literal

from msgspec import Struct

Unknown = Literal["refuse", "pass"]


class OpenApiSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All operations of an OpenAPI 3.0 or 3.1 description. `openapi` is a file, relative to the configuration.

    `unknown_params` says what becomes of query parameters that an operation does not declare: refused, or passed on unjudged.
    """

    openapi: str
    unknown_params: Unknown = "refuse"


class FunctionSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One function. `http` is a method and a path template, ``POST /transfers/{account}``.

    An argument is a type name (``integer``) or a JSON Schema, with two words more: ``required: true`` and
    ``in: path|query|header|body``. `body` is the kind of body; "" means JSON if an argument is in it, else none.
    """

    name: str
    http: str
    args: dict[str, Any] = {}
    body: Literal["", "json", "form", "raw"] = ""
    risk: str = ""
    owner: str = ""
    summary: str = ""
    unknown_params: Unknown = "refuse"
