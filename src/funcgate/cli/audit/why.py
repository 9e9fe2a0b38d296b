"""`funcgate audit why`: whether a call was authorised, by which policy of which version, and who approved it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from funcgate.cli.say import DEFAULT_CONFIG, AsJson, ConfigFile, console, plain, print_json

from .finding import Scan, found_call
from .folder import DataDir, data_of

if TYPE_CHECKING:
    from funcgate.core.entry import Entry
    from funcgate.recording.calls import CallRecord


class Answer(Struct, frozen=True):
    """What somebody said to a held call. `who` is ISSUER/SUBJECT, "" where nobody did: it expired, say."""

    at: str
    who: str
    outcome: str
    reason: str = ""


class Why(Struct, frozen=True, kw_only=True):
    """Why a call ran, or did not. `authorised`: an `allowed` entry says so. `asked_by` are the policies that held it."""

    call: str
    function: str
    who: str
    authorised: bool
    decision: str
    policies: tuple[str, ...] = ()
    asked_by: tuple[str, ...] = ()
    version: str = ""
    code: str = ""
    detail: str = ""
    approvals: tuple[Answer, ...] = ()
    outcome: str = ""


def why_so(
    call: Annotated[str, typer.Argument(help="The call's id: Funcgate-Call-Id, or as `audit list` prints it.")],
    scan: Scan = False,
    config: ConfigFile = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a call was authorised, by which policy, and who approved."""
    why = _why(found_call(data_of(config, data_dir, as_json), call, config, scan=scan, as_json=as_json))
    if as_json:
        print_json(why)
    else:
        _print(why)


def _why(record: "CallRecord") -> Why:
    from funcgate.core.entry import Kind

    of = {kind: [entry for entry in record.entries if entry.kind is kind] for kind in Kind}
    policy = record.policy
    return Why(
        call=record.id, function=record.function or record.target, who=_name(record), authorised=bool(of[Kind.ALLOWED]),
        decision=record.decision, policies=policy.names if policy is not None else (),
        asked_by=next((entry.policy.names for entry in of[Kind.ASKED] if entry.policy is not None), ()),
        version=policy.version if policy is not None else "", code=record.code, detail=record.detail,
        approvals=tuple(Answer(entry.at, _name(entry), entry.outcome, entry.detail) for entry in of[Kind.ANSWERED]),
        outcome=record.outcome,
    )  # fmt: skip


def _name(of: "CallRecord | Entry") -> str:
    return "" if of.principal is None else f"{of.principal.issuer}/{of.principal.subject}"


def _print(why: Why) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in _facts(why):
        if value:
            table.add_row(name, plain(value))
    console().print(table)


def _facts(why: Why) -> Iterator[tuple[str, str]]:
    yield "call", f"{why.call}  {why.function}"
    yield "by", why.who or "nobody identified"
    yield "authorised", "yes" if why.authorised else "no"
    yield "held by", ", ".join(why.asked_by)
    for answer in why.approvals:
        yield (
            "answered",
            f"{answer.at}  {answer.who or '-'}  {answer.outcome}{f': {answer.reason}' if answer.reason else ''}",
        )
    yield "policies", ", ".join(why.policies) or ("" if why.authorised else "none")
    yield "version", why.version
    yield "refused", f"{why.code} {f'({why.detail})' if why.detail else ''}".strip() if why.code else ""
    yield "outcome", why.outcome
