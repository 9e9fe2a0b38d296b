"""`funcgate policy explain`: how a call would be decided, and by which policies."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .say import DEFAULT_CONFIG, REFUSED, UNUSABLE, AsJson, ConfigFile, console, fail, plain, print_json, usable

if TYPE_CHECKING:
    from funcgate.config.parts import Parts
    from funcgate.core.principal import Principal
    from funcgate.policy import Explanation


def explain(
    function: Annotated[str, typer.Option("--function", "-f", help="TARGET.FUNCTION.")],
    args: Annotated[str, typer.Option("--args", help="The arguments, a JSON object; @FILE reads one.")] = "{}",
    as_user: Annotated[str, typer.Option("--as-user", help="The caller's subject.")] = "",
    as_group: Annotated[list[str] | None, typer.Option("--as-group", help="A group of the caller; repeat it.")] = None,
    as_issuer: Annotated[str, typer.Option("--as-issuer", help="The issuer's name; the first one if not given.")] = "",
    claims: Annotated[str, typer.Option("--claims", help="Further claims, a JSON object.")] = "{}",
    token: Annotated[
        str, typer.Option("--token", envvar="FUNCGATE_TOKEN", help="A real token instead of --as-…; it is verified.")
    ] = "",
    client: Annotated[str, typer.Option("--client", help="The caller's IP address.")] = "127.0.0.1",
    session: Annotated[str, typer.Option("--session")] = "",
    reason: Annotated[str, typer.Option("--reason")] = "",
    expect: Annotated[str, typer.Option("--expect", help="End with status 1 unless it is so decided.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say which policies match a call, which of them decide, and why. Nothing is called."""
    from funcgate.app import read_parts
    from funcgate.core.call import Call

    if expect not in ("", "allow", "deny", "require_approval"):
        raise fail("--expect is allow, deny or require_approval", status=UNUSABLE, as_json=as_json)
    given, extra = _object(args, "--args", as_json), _object(claims, "--claims", as_json)
    with usable(as_json):
        parts = read_parts(config, need_secrets=False)
    if function not in parts.functions:
        from funcgate.config.problems import did_you_mean

        hint = did_you_mean(function, parts.functions)
        raise fail(f"there is no function {function}{hint}", as_json=as_json)
    if token and not (as_user or as_group):
        principal = asyncio.run(_verified(parts, token, as_json))
    else:
        principal = _pretended(parts, as_user or "nobody", as_group or [], as_issuer, extra)
    call = Call(
        id="explain", target=function.split(".")[0], function=function, args=given, principal=principal,
        session=session, digest="", received_at=time.time(), client=client, reason=reason,
    )  # fmt: skip
    explanation = parts.policies.explain(call)
    invalid = _invalid(parts, function, given)
    if as_json:
        print_json({"invalid_args": invalid, "explanation": explanation})
    else:
        _print(explanation, principal, function, invalid)
    if expect and explanation.decision != expect:
        raise typer.Exit(REFUSED)


def _object(text: str, option: str, as_json: bool) -> dict[str, Any]:
    """A JSON object as strictly read as a caller's."""
    from funcgate.wire.strict_json import NotJson, loads

    try:
        found = loads(Path(text[1:]).read_bytes() if text.startswith("@") else text.encode())
    except NotJson as error:
        raise fail(f"{option} is not JSON: {error}", status=UNUSABLE, as_json=as_json) from None
    except OSError as error:
        raise fail(f"{option}: {text[1:]}: {error.strerror}", status=UNUSABLE, as_json=as_json) from None
    if not isinstance(found, dict):
        raise fail(f"{option} is not a JSON object", status=UNUSABLE, as_json=as_json)
    return found


def _pretended(parts: "Parts", user: str, groups: list[str], issuer: str, claims: dict[str, Any]) -> "Principal":
    from funcgate.core.principal import make_principal

    name = issuer or parts.loaded.config.issuers[0].name
    return make_principal(name, user, frozenset(groups), {"sub": user, **claims}, "", time.time() + 3600)


async def _verified(parts: "Parts", token: str, as_json: bool) -> "Principal":
    from funcgate.core.principal import RawToken
    from funcgate.core.refusal import Refused

    await parts.issuers.start()
    try:
        return await parts.issuers.identify(RawToken(token.strip().encode()))
    except Refused as refused:
        raise fail(f"the token is refused: {refused.code}: {refused.private_detail}", as_json=as_json) from None
    finally:
        await parts.issuers.close()


def _invalid(parts: "Parts", function: str, args: dict[str, Any]) -> list[str]:
    """What the schema says against the arguments: such a call is refused before any policy is asked."""
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(dict(parts.functions[function].args_schema))
    return [
        f"args{''.join(f'[{step}]' if isinstance(step, int) else f'.{step}' for step in error.instance_path)}: "
        f"{error.message}"
        for error in validator.iter_errors(args)
    ]


def _print(found: "Explanation", principal: "Principal", function: str, invalid: list[str]) -> None:
    from rich.table import Table

    groups = ", ".join(sorted(principal.groups)) or "none"
    typer.echo(plain(f"{principal.issuer}/{principal.subject} (groups: {groups}) calls {function}"))
    for why in invalid:
        typer.echo(f"request.invalid, before any policy is asked: {why}")
    names = ", ".join(policy.name for policy in found.policies if policy.decided)
    why = found.reason or f"decided by {names}"
    typer.echo(f"{found.decision}{f' ({found.code})' if found.code else ''}: {why}")
    table = Table("", "policy", "effect", "function", "principal", "condition", box=None, pad_edge=False)
    for policy in found.policies:
        condition = f"{policy.condition}: {policy.error}" if policy.error else policy.condition
        table.add_row(
            "=>" if policy.decided else "", policy.name, policy.effect, _yes(policy.function_matches),
            _yes(policy.principal_matches), condition,
        )  # fmt: skip
    console().print(table)


def _yes(matches: bool) -> str:
    return "matches" if matches else "-"
