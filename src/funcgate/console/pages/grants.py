"""Standing approvals on a page: those that one gave or has, and their end."""

import time
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from funcgate.approval.answers import Answers
from funcgate.approval.show import visible
from funcgate.console.access import Access
from funcgate.console.routes.approvals import person, rfc3339
from funcgate.console.routes.grants import may_revoke, may_see
from funcgate.console.sessions import Session
from funcgate.core.approval import ApprovalStore, Grant

from .approvals import CHANNEL
from .frame import Turned, form, hidden, note, page, redirect
from .markup import Html, html
from .sign_in import Door


def routes(door: Door, answers: Answers, store: ApprovalStore, access: Access) -> list[HTTPRouteHandler]:
    """`/grants`, and the end of one."""

    @get("/grants")
    async def granted(request: Request[Any, Any, Any]) -> Response[Any]:
        session = door.session(request)
        found = [each for each in await store.grants(now=time.time()) if may_see(each, session.principal, access)]
        rows = [_row(each, session, may_revoke(each, session.principal, access)) for each in found]
        return page("Standing approvals", _table(rows), session)

    @post("/grants/{grant:str}/revoke", status_code=200)
    async def revoke(request: Request[Any, Any, Any], grant: str) -> Response[Any]:
        session = door.acting(request)
        await form(request, door.origin, session)
        found = [each for each in await store.grants(now=0.0) if each.id == grant]
        if not found or not may_revoke(found[0], session.principal, access):
            raise Turned("There is no such grant for you to revoke.", 404)
        await answers.revoke(found[0].id, person(session.principal), CHANNEL)
        return redirect("/grants")

    return [granted, revoke]


def _table(rows: list[Html]) -> Html:
    if not rows:
        return note("No standing approval concerns you.")
    words = ("For", "Arguments", "Used", "Until", "Given by", "End it")
    heads = [html('<th scope="col">{word}</th>', word=word) for word in words]
    return html("<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>", heads=heads, rows=rows)


def _row(grant: Grant, session: Session, ends: bool) -> Html:
    acting = f", acting for {grant.acts_for}" if grant.acts_for else ""
    button = html(
        '<form method="post" action="/grants/{id}/revoke">{hidden}<button>Revoke</button></form>',
        id=grant.id, hidden=hidden(session),
    )  # fmt: skip
    return html(
        '<tr><td>{who}: {function}</td><td class="value">{args}</td><td>{used} of {calls}</td><td>{until}</td><td>{by}</td>'
        "<td>{button}</td></tr>",
        who=visible(f"{grant.subject}{acting}"), function=visible(grant.function), args=_rules(grant), used=grant.used,
        calls=grant.calls, until=rfc3339(grant.expires_at),
        by=visible(", ".join(each.subject for each in grant.answers)), button=button if ends else "",
    )  # fmt: skip


def _rules(grant: Grant) -> str:
    rules: dict[str, dict[str, Any]] = msgspec.json.decode(grant.args)
    return "\n".join(visible(f"{name} {_rule(rule)}") for name, rule in rules.items())


def _rule(rule: dict[str, Any]) -> str:
    """``= 5``, ``from 1 to 10``."""
    shown = {word: msgspec.json.encode(value).decode() for word, value in rule.items()}
    return f"= {shown['is']}" if "is" in shown else " ".join(f"{word} {value}" for word, value in shown.items())
