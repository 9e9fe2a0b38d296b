"""How people sign in at the console: held against the issuers and what browsers demand. It opens no connection."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from msgspec import Struct

from funcgate.core.problem import Problem
from funcgate.core.secret import Secret
from funcgate.core.units import parse_time
from funcgate.identity import IssuerSpec
from funcgate.identity.address import fault_of_url

from .problems import did_you_mean
from .secrets import Secrets
from .shape import Config
from .shape.console import SignInSpec

WHERE = ("console", "sign_in")


class SignInSettings(Struct, frozen=True, kw_only=True):
    """`SignInSpec`, read. `public_url` is an origin, spelled as browsers spell it; times in seconds."""

    issuer: str
    client_id: str
    client_secret: Secret
    public_url: str
    authorize_url: str
    token_url: str
    scopes: tuple[str, ...]
    idle_s: float
    longest_s: float


def sign_in(config: Config, secrets: Secrets, problems: list[Problem]) -> SignInSettings | None:
    """The settings, None if nobody signs in here; what is wrong with them is added to `problems`."""
    spec = config.console.sign_in
    if spec is None:
        return None
    problems += [*_issuer(spec, config.issuers), *_addresses(spec)]
    if "openid" not in spec.scopes or not all(_is_scope(scope) for scope in spec.scopes):
        problems.append(Problem((*WHERE, "scopes"), "scopes are words without spaces, and 'openid' is one of them"))
    if not spec.client_id.isprintable() or not spec.client_id:
        problems.append(Problem((*WHERE, "client_id"), "client_id is empty, or has characters that cannot be seen"))
    secret = Secret("") if spec.client_secret is None else secrets.read(spec.client_secret, (*WHERE, "client_secret"))
    return SignInSettings(
        issuer=spec.issuer, client_id=spec.client_id, client_secret=secret, public_url=_origin(spec.public_url),
        authorize_url=spec.authorize_url or "", token_url=spec.token_url or "", scopes=tuple(spec.scopes),
        idle_s=_time(spec, "idle", problems), longest_s=_time(spec, "longest", problems),
    )  # fmt: skip


def approval_url(config: Config) -> str:
    """Where people see approvals: as configured, else at the console's own pages; "" if nowhere."""
    spec = config.console.sign_in
    return config.approval_url or ("" if spec is None else f"{_origin(spec.public_url)}/approvals")


def _issuer(spec: SignInSpec, issuers: list[IssuerSpec]) -> Iterator[Problem]:
    found = next((issuer for issuer in issuers if issuer.name == spec.issuer), None)
    if found is None:
        hint = did_you_mean(spec.issuer, [issuer.name for issuer in issuers])
        yield Problem((*WHERE, "issuer"), f"there is no issuer {spec.issuer!r}{hint}")
        return
    if spec.client_id in ([found.audience] if isinstance(found.audience, str) else found.audience):
        # Attack: a token that was made for one purpose is used for the other.
        text = "the issuer's `audience` for calls is this same name: register the console as a client of its own"
        yield Problem((*WHERE, "client_id"), text)
    if bool(spec.authorize_url) != bool(spec.token_url):
        yield Problem((*WHERE, "token_url"), "`authorize_url` and `token_url` go together")
    elif found.jwks_file is not None and not spec.authorize_url:
        yield Problem((*WHERE, "issuer"), "an issuer with jwks_file is not asked: give `authorize_url` and `token_url`")


def _addresses(spec: SignInSpec) -> Iterator[Problem]:
    # Attack: read the session's cookie, the code or the client's secret off the wire.
    for name in ("public_url", "authorize_url", "token_url"):
        value = getattr(spec, name)
        if value and (why := fault_of_url(value, query=name == "authorize_url")):
            yield Problem((*WHERE, name), f"{name} {why}")
    if not fault_of_url(spec.public_url) and urlsplit(spec.public_url).path not in ("", "/"):
        yield Problem((*WHERE, "public_url"), "public_url has no path: the console is at the root of its host")


def _origin(url: str) -> str:
    """RFC 6454, section 6.2: lower case, and no port where it is the scheme's own."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + (
        "" if port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{port}"
    )


def _is_scope(scope: str) -> bool:
    """RFC 6749, section 3.3."""
    return bool(scope) and all("!" <= char <= "~" and char not in '"\\' for char in scope)


def _time(spec: SignInSpec, name: str, problems: list[Problem]) -> float:
    try:
        seconds = parse_time(getattr(spec, name))
    except ValueError as error:
        problems.append(Problem((*WHERE, name), str(error)))
        return 60.0
    if not 60 <= seconds <= 7 * 86400:
        problems.append(Problem((*WHERE, name), f"{name} must be 1m to 7d"))
    return seconds
