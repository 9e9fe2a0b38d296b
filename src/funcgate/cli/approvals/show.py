"""`funcgate approvals list|show|watch`: what waits for an answer. A card shows exactly what will run, all of it."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funcgate.cli.say import DEFAULT_CONFIG, AsJson, ConfigFile, console, print_json

from .gateway import Api, Token, Url

if TYPE_CHECKING:
    from funcgate.core.approval import Approval

LOOK_EVERY_S = 1.0


def list_approvals(
    state: Annotated[
        str, typer.Option("--state", help="pending, approved, rejected, expired, cancelled or used.")
    ] = "",
    cursor: Annotated[str, typer.Option("--cursor", help="Go on after this one.")] = "",
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List held calls that concern you, newest first."""
    found = Api(url, token, config, as_json).get("approvals", state=state, cursor=cursor)
    if as_json:
        print_json(found)
        return
    from rich.table import Table

    table = Table("approval", "state", "asked", "who", "function", "expires", box=None, pad_edge=False)
    for one in found["approvals"]:
        who = _plain(one["principal"]["subject"])
        times = (one["created_at"][:19].replace("T", " "), one["expires_at"][:19].replace("T", " "))
        table.add_row(one["id"], one["state"], times[0], who, _plain(one["function"]), times[1])
    console().print(table)
    if "cursor" in found:
        typer.echo(f"more: --cursor {found['cursor']}", err=True)


def show_approval(
    approval: Annotated[str, typer.Argument(help="The approval's id.")],
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what will run, for whom, and how it stands."""
    found = Api(url, token, config, as_json).get(f"approvals/{approval}")
    if as_json:
        print_json(found)
    else:
        print_card(found)


def watch(
    url: Url = "",
    token: Token = "",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show each call that comes to wait, and what becomes of it, until Ctrl-C."""
    api = Api(url, token, config, as_json)
    seen: dict[str, str] = {}
    try:
        while True:
            for one in reversed(api.get("approvals")["approvals"]):
                if one["state"] != seen.get(one["id"]) and (one["state"] == "pending" or one["id"] in seen):
                    if one["args"] is None:  # too large for a list
                        one = api.get(f"approvals/{one['id']}")  # noqa: PLW2901
                    if as_json:
                        print_json(one)
                    else:
                        print_card(one)
                seen[one["id"]] = one["state"]
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        return


def print_card(found: dict[str, Any]) -> None:
    """The card of an approval as the API shows it."""
    from rich.table import Table

    from funcgate.approval.show import card

    shown = card(approval_of(found))
    table = Table(box=None, pad_edge=False, show_header=False)
    for label, text in (("Approval", shown.id), *shown.facts):
        table.add_row(label, text)
    for at, (name, text) in enumerate(shown.args):
        table.add_row("Arguments" if not at else "", f"{name} = {text}")
    if shown.masked:
        table.add_row("", "Some values are masked: what runs holds more than is shown here.")
    table.add_row("State", shown.outcome)
    out = console()
    out.print(table)
    out.print()


def approval_of(found: dict[str, Any]) -> "Approval":
    """The approval from the API's form of it. Raises `msgspec.ValidationError` for what a newer gateway sends."""
    from datetime import datetime

    import msgspec

    from funcgate.core.approval import Approval, Asked

    def unix(text: str) -> float:
        return datetime.fromisoformat(text).timestamp()

    asked = {name: found[name] for name in Asked.__struct_fields__ if name in found and name not in ("args", "schema")}
    raw = msgspec.Raw(msgspec.json.encode(found["args"]))
    answers = [{**each, "at": unix(each["at"])} for each in found["answers"]]
    plain = {
        "id": found["id"], "key": "", "state": found["state"], "created_at": unix(found["created_at"]),
        "expires_at": unix(found["expires_at"]), "terms": found["terms"], "answers": answers,
        "used_by": found["used_by"], "why": found["why"], "asked": {**asked, "args": None, "schema": ""},
    }  # fmt: skip
    read = msgspec.json.decode(msgspec.json.encode(plain), type=Approval)
    return msgspec.structs.replace(read, asked=msgspec.structs.replace(read.asked, args=raw))


def _plain(text: str) -> str:
    from funcgate.approval.show import visible

    return visible(text)
