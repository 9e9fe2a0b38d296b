"""`funcgate revocations list|add|lift`: who is refused by a running gateway, over its admin API."""

from typing import Annotated, Any

import typer

from .approvals.gateway import Api, Token, Url
from .say import DEFAULT_CONFIG, UNUSABLE, AsJson, ConfigFile, console, fail, print_json

Reason = Annotated[str, typer.Option("--reason", "-r", help="Kept in the record.")]


def list_revocations(
    every: Annotated[bool, typer.Option("--all", help="Those that have ended or were lifted, too.")] = False,
    cursor: Annotated[str, typer.Option("--cursor", help="Go on after this one.")] = "",
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List the revocations that stand, newest first."""
    found = Api(url, token, config, as_json).get("revocations", all="true" if every else "", cursor=cursor)
    if as_json:
        print_json(found)
        return
    from rich.table import Table

    table = Table("revocation", "what", "since", "until", "by", "reason", box=None, pad_edge=False)
    for one in found["revocations"]:
        table.add_row(one["id"], _what(one), _time(one["at"]), _end(one), _plain(one["by"]), _plain(one["reason"]))
    console().print(table)
    if "cursor" in found:
        typer.echo(f"more: --cursor {found['cursor']}", err=True)


def revoke(
    reason: Reason,
    fingerprint: Annotated[str, typer.Option("--fingerprint", help="One token, by its fingerprint.")] = "",
    caller: Annotated[
        str, typer.Option("--caller", metavar="ISSUER/SUBJECT", help="A caller, whatever token it has.")
    ] = "",
    session: Annotated[str, typer.Option("--session", help="One session, as the journal names it.")] = "",
    within: Annotated[str, typer.Option("--for", help="For so long, such as 2h.")] = "",
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Refuse a token, a caller or a session from now on."""
    issuer, slash, subject = caller.partition("/")
    if bool(fingerprint) + bool(caller) + bool(session) != 1 or bool(caller) != bool(issuer and slash and subject):
        text = "name one of --fingerprint, --caller ISSUER/SUBJECT and --session"
        raise fail(text, status=UNUSABLE, as_json=as_json)
    said: dict[str, Any] = {"reason": reason, "for_s": _seconds(within, as_json)}
    said |= {"token": fingerprint, "issuer": issuer, "subject": subject, "session": session}
    _tell(Api(url, token, config, as_json).post("revocations", said), as_json)


def lift(
    revocation: Annotated[str, typer.Argument(help="The revocation's id.")],
    reason: Reason,
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """End a revocation."""
    _tell(Api(url, token, config, as_json).post(f"revocations/{revocation}/lift", {"reason": reason}), as_json)


def _seconds(text: str, as_json: bool) -> float:
    from funcgate.core.units import parse_time

    try:
        return parse_time(text) if text else 0.0
    except ValueError as error:
        raise fail(str(error), status=UNUSABLE, as_json=as_json) from None


def _tell(one: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(one)
    else:
        typer.echo(f"{one['id']}: {_what(one)} is {'no longer ' if one['lifted_at'] else ''}revoked, {_end(one)}")


def _what(one: dict[str, Any]) -> str:
    if one["token"]:
        return f"token {one['token']}"
    return _plain(f"session {one['session']}" if one["session"] else f"{one['issuer']}/{one['subject']}")


def _end(one: dict[str, Any]) -> str:
    if one["lifted_at"]:
        return f"lifted {_time(one['lifted_at'])} by {_plain(one['lifted_by'])}"
    return f"until {_time(one['until'])}" if one["until"] else "until it is lifted"


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _plain(text: str) -> str:
    from funcgate.approval.show import visible

    return visible(text)
