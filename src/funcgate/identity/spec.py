"""What the configuration says of an issuer, read once into rules: the tables that every token is held against.

Refuses at load time whatever would accept nothing, or more than it says.
"""

import ssl
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from funcgate.core.problem import Problem
from funcgate.core.units import parse_time

from .address import fault_of_url
from .keys import ALGORITHMS

DEFAULT_ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
)  # fmt: skip
ABSENT = "absent"
DEFAULT_TYPES = ("JWT", "at+jwt", ABSENT)
MAX_LEEWAY_S = 300.0

Where = tuple[str | int, ...]


class IssuerSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `issuers`. Without `jwks_url` and `jwks_file`, keys are found by OIDC discovery at `issuer`.

    `groups` and `subject` name a claim, or a path to one with dots. `keep` is how long known keys still serve while the
    provider is down. In `token_types`, ``absent`` stands for a token without `typ`.
    """

    name: str
    issuer: str
    audience: str | list[str]
    jwks_url: str | None = None
    jwks_file: str | None = None
    groups: str = "groups"
    subject: str = "sub"
    algorithms: list[str] = field(default_factory=lambda: list(DEFAULT_ALGORITHMS))
    token_types: list[str] = field(default_factory=lambda: list(DEFAULT_TYPES))
    leeway: str | int | float = "30s"
    refresh: str | int | float = "5m"
    cooldown: str | int | float = "30s"
    keep: str | int | float = "24h"
    ca_file: str | None = None


class Rules(Struct, frozen=True, kw_only=True):
    """An `IssuerSpec`, checked and read. Times in seconds; `types` in lower case."""

    name: str
    issuer: str
    audience: frozenset[str]
    groups: str
    subject: str
    algorithms: frozenset[str]
    types: frozenset[str]
    leeway_s: float
    refresh_s: float
    cooldown_s: float
    keep_s: float


def read_spec(spec: IssuerSpec, where: Where, base: Path) -> tuple[Rules | None, list[Problem]]:
    """The rules of an issuer; None and every problem if it cannot be used."""
    problems: list[Problem] = []

    def fault(at: str, text: str) -> None:
        problems.append(Problem(where=(*where, at), text=text))

    times = {at: _time(spec, at, fault) for at in ("leeway", "refresh", "cooldown", "keep")}
    audience = [spec.audience] if isinstance(spec.audience, str) else spec.audience
    if not audience or not all(audience):
        fault("audience", "audience is empty: name what this gateway is called in the tokens' aud claim")
    for at in ("name", "groups", "subject"):
        if not getattr(spec, at):
            fault(at, f"{at} is empty")
    if times["leeway"] > MAX_LEEWAY_S:
        fault("leeway", "leeway is more than 5m: a token would live that much longer than its issuer says")
    _check_algorithms(spec, fault)
    _check_place(spec, fault)
    _check_ca(spec, base, fault)
    if problems:
        return None, problems
    rules = Rules(
        name=spec.name, issuer=spec.issuer, audience=frozenset(audience), groups=spec.groups, subject=spec.subject,
        algorithms=frozenset(spec.algorithms), types=frozenset(bare_type(name) for name in spec.token_types),
        leeway_s=times["leeway"], refresh_s=times["refresh"], cooldown_s=times["cooldown"], keep_s=times["keep"],
    )  # fmt: skip
    return rules, []


def bare_type(name: str) -> str:
    """A `typ` as it is compared: lower case, without ``application/`` (RFC 7515, section 4.1.9)."""
    name = name.lower()
    return name.removeprefix("application/") if name.count("/") == 1 else name


def _time(spec: IssuerSpec, at: str, fault: Callable[[str, str], None]) -> float:
    try:
        seconds = parse_time(getattr(spec, at))
    except ValueError as error:
        fault(at, str(error))
        return 0.0
    lowest = 0.0 if at == "leeway" else 0.001
    if not lowest <= seconds < 1e9:
        fault(at, f"{at} must be {'0 or more' if at == 'leeway' else 'more than 0'}")
    return seconds


def _check_algorithms(spec: IssuerSpec, fault: Callable[[str, str], None]) -> None:
    known = ", ".join(ALGORITHMS)
    if not spec.algorithms:
        fault("algorithms", f"algorithms is empty: no token could be accepted (known: {known})")
    for name in spec.algorithms:
        # Attack: an HMAC algorithm beside a public key set lets anybody sign with the public key (RFC 8725, 2.1).
        if name not in ALGORITHMS:
            fault("algorithms", f"{name!r} is not an asymmetric signature algorithm known here ({known})")
    if not spec.token_types or not all(spec.token_types):
        fault("token_types", f"token_types must name at least one type; {ABSENT!r} stands for a token without typ")


def _check_place(spec: IssuerSpec, fault: Callable[[str, str], None]) -> None:
    """Where the keys come from: exactly one place, and one that can be trusted."""
    if not spec.issuer:
        fault("issuer", "issuer is empty: give the tokens' iss claim, letter for letter")
    elif spec.jwks_url is not None and spec.jwks_file is not None:
        fault("jwks_file", "jwks_url and jwks_file are both given: keep one")
    elif spec.jwks_url is not None:
        if why := fault_of_url(spec.jwks_url):
            fault("jwks_url", f"jwks_url {why}")
    elif spec.jwks_file is None and (why := fault_of_url(spec.issuer, query=False)):
        fault("issuer", f"issuer {why}; discovery starts there (else give jwks_url or jwks_file)")


def _check_ca(spec: IssuerSpec, base: Path, fault: Callable[[str, str], None]) -> None:
    if spec.ca_file is None:
        return
    if spec.jwks_file is not None:
        fault("ca_file", "ca_file does nothing beside jwks_file: remove one")
        return
    try:
        ssl.create_default_context(cafile=str(base / spec.ca_file))
    except (OSError, ValueError) as error:
        fault("ca_file", f"ca_file {spec.ca_file} cannot be read as PEM certificates ({type(error).__name__})")
