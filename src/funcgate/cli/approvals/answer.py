"""`funcgate approvals approve|reject|cancel`, and standing grants: `grants`, `revoke`."""

from typing import Annotated, Any

import typer

from funcgate.cli.say import DEFAULT_CONFIG, UNUSABLE, AsJson, ConfigFile, console, fail, print_json

from .gateway import Api, Token, Url
from .show import print_card

Approval = Annotated[str, typer.Argument(help="The approval's id.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Kept in the record, and shown to other approvers.")]


def approve(
    approval: Approval,
    reason: Reason = "",
    calls: Annotated[int, typer.Option("--calls", help="Allow the same call so many times more.")] = 0,
    within: Annotated[str, typer.Option("--for", help="For so long, such as 2h; goes with --calls.")] = "",
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="NAME=FROM..TO", help="Any value of a numeric argument in a range."),
    ] = None,
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Let a held call run, once; with --calls and --for the same call again, within the policy's limits."""
    said: dict[str, Any] = {"reason": reason}
    if calls or within or ranges:
        said["grant"] = _wish(calls, within, ranges or [], as_json)
    _tell(Api(url, token, config, as_json).post(f"approvals/{approval}/approve", said), as_json)


def reject(
    approval: Approval,
    reason: Reason = "",
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say no to a held call. One no is enough."""
    _tell(Api(url, token, config, as_json).post(f"approvals/{approval}/reject", {"reason": reason}), as_json)


def cancel(
    approval: Approval,
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Withdraw a held call of your own."""
    _tell(Api(url, token, config, as_json).post(f"approvals/{approval}/cancel", {}), as_json)


def grants(url: Url = "", token: Token = "", config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List standing grants: who may call what without asking, how often and until when."""
    found = Api(url, token, config, as_json).get("grants")
    if as_json:
        print_json(found)
        return
    from rich.table import Table

    from funcgate.approval.show import visible

    table = Table("grant", "who", "function", "arguments", "used", "until", "given by", box=None, pad_edge=False)
    for one in found["grants"]:
        rules = ", ".join(f"{visible(name)} {_rule(rule)}" for name, rule in one["args"].items())
        used = f"{one['used']} of {one['calls']}"
        until = one["expires_at"][:19].replace("T", " ")
        table.add_row(
            one["id"],
            visible(one["subject"]),
            visible(one["function"]),
            rules,
            used,
            until,
            ", ".join(map(visible, one["answers"])),
        )
    console().print(table)


def revoke(
    grant: Annotated[str, typer.Argument(help="The grant's id.")],
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """End a standing grant, now."""
    said = Api(url, token, config, as_json).post(f"grants/{grant}/revoke", {})
    if as_json:
        print_json(said)
    else:
        typer.echo(f"revoked {grant}")


def _wish(calls: int, within: str, ranges: list[str], as_json: bool) -> dict[str, Any]:
    from funcgate.core.units import parse_time

    if not calls or not within:
        raise fail("a grant needs both --calls and --for", status=UNUSABLE, as_json=as_json)
    wish: dict[str, Any] = {"calls": calls, "ranges": {}}
    try:
        wish["for_s"] = parse_time(within)
        for each in ranges:
            name, _, span = each.partition("=")
            low, _, high = span.partition("..")
            wish["ranges"][name] = {"from": float(low), "to": float(high)}
    except ValueError as error:
        raise fail(f"{error}; a range is NAME=FROM..TO", status=UNUSABLE, as_json=as_json) from None
    return wish


def _rule(rule: dict[str, Any]) -> str:
    from funcgate.approval.show import visible

    if "is" in rule:
        return f"= {visible(str(rule['is']))}"
    return f"from {rule['from']} to {rule['to']}" if "from" in rule else f"up to {rule['to']}"


def _tell(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_card(found)
