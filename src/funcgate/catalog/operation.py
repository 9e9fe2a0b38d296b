"""One operation as any description of it comes out: the common ground of OpenAPI and of functions listed by hand."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from funcgate.core.problem import Problem

from .schemas import Definitions
from .specs import Unknown

Place = Literal["path", "query", "header"]
Reader = Literal["json", "form", "opaque"]
Where = tuple[str | int, ...]

METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")


class Parameter(Struct, frozen=True, kw_only=True):
    """A parameter outside of the body. `explode` is OpenAPI's: one value per occurrence, else a comma between values.
    `as_json` means that its text is JSON (OpenAPI's ``content``)."""

    name: str
    place: Place
    schema: Mapping[str, Any] | bool
    required: bool = False
    explode: bool = True
    as_json: bool = False
    where: Where = ()


class Body(Struct, frozen=True, kw_only=True):
    """One kind of body that an operation takes. `media` is in lower case, without parameters; it may be ``*/*`` or ``text/*``."""

    media: str
    reader: Reader
    schema: Mapping[str, Any] | bool = True


class Operation(Struct, frozen=True, kw_only=True):
    """One function with its place in HTTP. `defs` hold every schema that a ``$ref`` in it names, as ``#/$defs/NAME``."""

    name: str
    method: str
    path: str
    params: tuple[Parameter, ...] = ()
    bodies: tuple[Body, ...] = ()
    body_required: bool = False
    defs: Definitions
    unknown_params: Unknown = "refuse"
    summary: str = ""
    risk: str = ""
    owner: str = ""
    where: Where = ()
    file: str = ""

    def problem(self, text: str, *more: str | int) -> Problem:
        return Problem(where=self.where + more, text=text, file=self.file)
