"""What the configuration says of PostgreSQL: where callers connect, where a database is, and who may begin a session."""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from msgspec import Struct, structs

from funcgate.catalog.sql.session import session_functions
from funcgate.core.budget import Budget
from funcgate.core.function import Function
from funcgate.core.problem import Problem
from funcgate.core.selector import is_principal_selector, matching
from funcgate.masking import RuleSpec
from funcgate.policy import PolicySpec

from .settings import Address, Reading, is_loopback
from .shape import Config
from .shape.postgres import PostgresTargetSpec
from .shape.targets import TargetSpec

Where = tuple[str | int, ...]
_SCOPE = re.compile(r"([!#-\[\]-~]+( [!#-\[\]-~]+)*)?")
_ENDS = ("transaction", "cursor", "deallocate")
_GIVING_BACK = 'args.command in ["RESET", "DISCARD", "UNLISTEN"]'


def postgres_address(config: Config, read: Reading, problems: list[Problem]) -> Address | None:
    """Where PostgreSQL callers connect; None when nowhere."""
    where = ("listen", "postgres")
    there = any(isinstance(spec, PostgresTargetSpec) for spec in config.targets)
    text = config.listen.postgres
    if text is None:
        if there:
            problems.append(
                Problem(where=("listen",), text="there is a postgres target; say where callers connect: 'postgres'")
            )
        return None
    address = read.address("postgres", text)
    if not there:
        problems.append(Problem(where=where, text="there is no postgres target, so nobody could connect", warning=True))
    if not address.is_loopback and config.listen.tls is None:
        # Attack: read the callers' tokens off the wire. No caller is let in there, so it would load and do nothing.
        problems.append(
            Problem(where=where, text="callers send their tokens here: add 'tls', or listen on a loopback address")
        )
    return address


def check_postgres(spec: PostgresTargetSpec, where: Where) -> Iterator[Problem]:
    """What is wrong with the target's address and credential."""
    try:
        parts = urlsplit(spec.url)
        sound = parts.scheme in ("postgres", "postgresql") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not spec.url.isprintable() or len(parts.path) < 2 or "/" in parts.path[1:]:
        yield Problem(where=(*where, "url"), text="'url': expected postgres://HOST[:PORT]/DATABASE")
        return
    if "@" in parts.netloc or parts.query or parts.fragment:
        yield Problem(
            where=(*where, "url"),
            text="'url': a user, a password or settings do not belong here; use 'credential' and 'tls'",
        )
    if spec.credential is None or spec.credential.type != "password":
        yield Problem(where=(*where, "credential"), text="a database needs a credential of the type password")
    if spec.tls is None and not is_loopback(parts.hostname or ""):
        # Attack: read rows off the wire, or answer in the database's place.
        text = "the database is on another machine and would be spoken to in clear; add 'tls'"
        yield Problem(where=(*where, "url"), text=text, warning=True)


def budgets_of(spec: PostgresTargetSpec, where: Where, problems: list[Problem]) -> tuple[Budget, ...]:
    """What callers may have of the target. What is wrong with it goes to `problems`."""
    found: list[Budget] = []
    for at, one in enumerate(spec.budgets):
        place = (*where, "budgets", at)
        read = Reading(place, problems)
        if one.rows is None and one.bytes is None:
            problems.append(Problem(where=place, text="this budget limits nothing: give it rows, bytes or both"))
        if not one.principals:
            problems.append(Problem(where=place, text="'principals': name at least one, or \"*\" for all"))
        for i, text in enumerate(one.principals):
            if not is_principal_selector(text):
                problem = f"{text!r} names no principal: write group:NAME, user:SUBJECT or *"
                problems.append(Problem(where=(*place, "principals", i), text=problem))
        rows = None if one.rows is None else read.count("rows", one.rows)
        size = None if one.bytes is None else read.size("bytes", one.bytes)
        found.append(Budget(frozenset(one.principals), rows, size, read.time("per", one.per)))
    return tuple(found)


def check_role(spec: PostgresTargetSpec, where: Where) -> Iterator[Problem]:
    """What is wrong with the roles of a target."""
    role, at = spec.role, (*where, "role")
    if role is None:
        return
    if spec.preset != "guarded":
        # Attack: DO, or a function of one's own, in which SET ROLE NONE is said: no text of a statement would show it.
        yield Problem(where=at, text="'role' needs 'preset: guarded': else callers may define what takes it off again")
    if role.claim is None and role.among:
        yield Problem(where=(*at, "among"), text="'among' is for 'claim'; it would do nothing")
    if role.claim is not None and not role.among:
        yield Problem(where=(*at, "claim"), text="say which roles the claim may name: 'among'")
    if not (role.claim or role.groups or role.otherwise):
        yield Problem(where=at, text="nobody has a role here: say 'claim', 'groups' or 'otherwise'")
    for name in (*role.among, *role.groups.values(), *([] if role.otherwise is None else [role.otherwise])):
        if not name.isprintable() or name.lower() in ("", "none") or len(name.encode()) > 63:
            yield Problem(where=at, text=f"{name!r} is not the name of a role")


class Oauth(Struct, frozen=True):
    """`OauthSpec`, and the address of the issuer's OpenID configuration."""

    users: frozenset[str]
    openid_configuration: str
    scope: str


def oauth_of(config: Config, spec: PostgresTargetSpec, where: Where, problems: list[Problem]) -> Oauth | None:
    """How callers of the target may log in beside the password."""
    if spec.oauth is None:
        return None
    at = (*where, "oauth")
    if not spec.oauth.users:
        problems.append(Problem(where=(*at, "users"), text="'users': nobody is asked, so it would do nothing"))
    if not _SCOPE.fullmatch(spec.oauth.scope):
        problems.append(Problem(where=(*at, "scope"), text="'scope': words with a space between them (RFC 6749, 3.3)"))
    named = [one for one in config.issuers if spec.oauth.issuer in (None, one.name)]
    if len(named) != 1:
        text = (
            "'issuer': there is no issuer of that name" if spec.oauth.issuer else "say which of the issuers: 'issuer'"
        )
        problems.append(Problem(where=(*at, "issuer") if spec.oauth.issuer else at, text=text))
        return None
    url = named[0].issuer.rstrip("/")
    if not url.startswith("https://"):
        text = "the issuer is no https:// address, so no client would ask it for a token"
        problems.append(Problem(where=at, text=text, warning=True))
    return Oauth(frozenset(spec.oauth.users), f"{url}/.well-known/openid-configuration", spec.oauth.scope)


def of_databases(targets: Sequence[TargetSpec]) -> frozenset[str]:
    """The names of the targets whose answers are rows of tables."""
    return frozenset(target.name for target in targets if isinstance(target, PostgresTargetSpec))


def session_policies(
    policies: Sequence[PolicySpec], targets: Sequence[TargetSpec], functions: Mapping[str, Function]
) -> list[PolicySpec]:
    """Whoever may call something of a database may connect to it, end its transactions, ask what a statement returns, and give
    back what the session holds, as pools do."""
    found: list[PolicySpec] = []
    for target in targets:
        if not isinstance(target, PostgresTargetSpec):
            continue
        names = [name for name in functions if name.startswith(f"{target.name}.")]
        wanted = [*session_functions(target.name), *(f"{target.name}.{verb}" for verb in _ENDS)]
        giving_back = [f"{target.name}.set", f"{target.name}.listen"]
        for policy in policies:
            if policy.effect != "deny" and any(matching(pattern, names) for pattern in policy.functions):
                named = f"{policy.name} (a session of {target.name})"
                found.append(PolicySpec(name=named, effect="allow", functions=wanted, principals=policy.principals))
                named = f"{policy.name} (the end of a session of {target.name})"
                found.append(
                    PolicySpec(
                        name=named,
                        effect="allow",
                        functions=giving_back,
                        principals=policy.principals,
                        when=_GIVING_BACK,
                    )
                )
    return [policy for policy in found if all(name in functions for name in policy.functions)]


def session_rule(rule: RuleSpec, targets: Sequence[TargetSpec], functions: Mapping[str, Function]) -> RuleSpec:
    """What a rule hides in some answers of a database is hidden in what comes unasked, too: NOTIFY can carry any row."""
    more: list[str] = []
    for target in targets:
        names = [name for name in functions if name.startswith(f"{target.name}.")]
        if isinstance(target, PostgresTargetSpec) and any(matching(pattern, names) for pattern in rule.functions):
            more += [name for name in session_functions(target.name) if name in functions]
    return structs.replace(rule, functions=[*rule.functions, *more])
