"""What goes to standard error, and how people come to the pages."""

from typing import Literal

from msgspec import Struct, field

from .units import Time


class LogsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes to standard error. `calls` says whether calls are logged too: none, those that were refused, or all."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    calls: Literal["none", "refused", "all"] = "none"


class SignInSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people sign in at the console: with OpenID Connect, at one of `issuers`, as its client. `public_url` is what browsers
    reach the console at. Who does nothing for `idle` signs in again; at `longest`, everybody does."""

    issuer: str
    client_id: str
    public_url: str
    client_secret: str | None = None
    authorize_url: str | None = None
    token_url: str | None = None
    scopes: list[str] = field(default_factory=lambda: ["openid", "profile", "email"])
    idle: Time = "30m"
    longest: Time = "8h"


class ConsoleSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pages for people."""

    sign_in: SignInSpec | None = None
