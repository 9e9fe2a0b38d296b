"""Held calls on pages: the list, and one of them with all that will run and what may be said to it."""

import time
from collections.abc import Iterator
from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from funcgate.approval.answers import Answers, Unanswered
from funcgate.approval.quorum import Unfit, examine
from funcgate.approval.show import Card, card, visible
from funcgate.approval.tickets import BadTicket, Tickets
from funcgate.console.access import Access
from funcgate.console.routes.approvals import concerns, person
from funcgate.console.sessions import Session
from funcgate.core.approval import Approval, ApprovalStore, State

from .frame import Elsewhere, Turned, form, hidden, note, page, query, redirect, with_query
from .granting import grant_form, wish
from .markup import Html, html
from .sign_in import Door

CHANNEL = "console"
PAGE = 50


def routes(
    door: Door, answers: Answers, store: ApprovalStore, access: Access, tickets: Tickets
) -> list[HTTPRouteHandler]:
    """`/approvals` and `/approvals/ID`."""

    async def found_for(session: Session, approval: str) -> Approval:
        found = await store.get(approval[:64])
        # Attack: learn from the difference which approvals there are. Not there and not yours look the same.
        if found is None or not concerns(found, session.principal, access):
            raise Turned("There is no such approval for you.", 404)
        return found

    @get("/approvals")
    async def listed(request: Request[Any, Any, Any]) -> Response[Any]:
        session = door.session(request)
        sent = query(request)
        wanted = None if sent.get("state") == "all" else State.PENDING
        found = await store.find(wanted, before=sent.get("before", "")[:64], limit=PAGE)
        seen = [each for each in found if concerns(each, session.principal, access)]
        more = found[-1].id if len(found) == PAGE else ""
        return page("Approvals", _list(seen, wanted, more), session)

    @get("/approvals/{approval:str}")
    async def one(request: Request[Any, Any, Any], approval: str) -> Response[Any]:
        """Looking changes nothing but a ticket, and that only for somebody who has signed in."""
        # Attack: mail scanners follow links, browsers fetch ahead: a GET answers nothing, and without a session uses nothing up.
        session = door.session(request)
        ticket = query(request).get("ticket")
        if ticket is not None:
            await _open(tickets, answers, ticket, approval, session)
            raise Elsewhere(f"/approvals/{approval}")  # without the ticket in the address, for what is kept of it
        return page(*_one(await found_for(session, approval), session), session)

    @post("/approvals/{approval:str}", status_code=200)
    async def answer(request: Request[Any, Any, Any], approval: str) -> Response[Any]:
        session = door.acting(request)
        fields = await form(request, door.origin, session)
        found = await found_for(session, approval)
        verb, reason, who = fields.get("verb", ""), fields.get("reason", ""), person(session.principal)
        try:
            if verb == "cancel":
                await answers.cancel(found.id, who, CHANNEL)
            elif verb in ("approve", "reject"):
                await answers.give(found.id, who, verb == "approve", CHANNEL, reason)
            elif verb == "grant":
                await answers.give(found.id, who, True, CHANNEL, reason, wish(found, fields))
            else:
                raise Turned("The form says nothing that can be done.", 400)
        except Unanswered as why:
            title, body = _one(await found_for(session, approval), session)
            return page(title, html("{why}{body}", why=note(str(why), "bad"), body=body), session, 409)
        return redirect(f"/approvals/{found.id}")

    return [listed, one, answer]


async def _open(tickets: Tickets, answers: Answers, ticket: str, approval: str, session: Session) -> None:
    try:
        await tickets.take(ticket, approval[:64], session.principal.claims, time.time())
    except BadTicket as why:
        await answers.refuse(approval, CHANNEL, str(why), person(session.principal))
        text = f"{str(why).capitalize()}. What you may answer is in the list of approvals."
        raise Turned(text) from None


def _list(seen: list[Approval], wanted: State | None, more: str) -> Html:
    rows = [
        html(
            '<tr><td><a href="/approvals/{id}">{title}</a></td><td>{state}</td><td>{needs}</td><td>{expires}</td></tr>',
            id=each.id, title=shown.title, state=shown.outcome, needs=dict(shown.facts)["Needs"],
            expires=dict(shown.facts)["Expires"],
        )
        for each in seen
        for shown in [card(each)]
    ]  # fmt: skip
    state = "pending" if wanted is State.PENDING else "all"
    heads = [html('<th scope="col">{word}</th>', word=word) for word in ("Call", "State", "Needs", "Expires")]
    table = html("<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>", heads=heads, rows=rows)
    return html(
        '<p><a href="/approvals">Waiting</a> · <a href="/approvals?state=all">All</a></p>{table}{more}',
        table=table if rows else note("Nothing waits for you here." if state == "pending" else "There is nothing here."),
        more=html('<p><a href="{link}">Earlier ones</a></p>', link=with_query("/approvals", state=state, before=more))
        if more
        else "",
    )  # fmt: skip


def _one(approval: Approval, session: Session) -> tuple[str, Html]:
    """Title and body."""
    shown = card(approval)
    args = [(name or "(all)", text) for name, text in shown.args]
    body = html(
        "<p><strong>{outcome}</strong></p><h2>The call</h2>{facts}<h2>Its arguments: what will run</h2>{args}{masked}{forms}",
        outcome=shown.outcome, facts=_table(shown.facts), args=_table(args) if args else note("It has none."),
        masked=_masked(shown), forms=_forms(approval, session),
    )  # fmt: skip
    return shown.title, body


def _table(lines: Any) -> Html:
    rows = [
        html('<tr><th scope="row">{label}</th><td class="value">{text}</td></tr>', label=label, text=text)
        for label, text in lines
    ]
    return html("<table><tbody>{rows}</tbody></table>", rows=rows)


def _masked(shown: Card) -> Html:
    return note("Some values are masked: what runs holds more than is shown here.", "bad") if shown.masked else Html()


def _forms(approval: Approval, session: Session) -> Iterator[Html]:
    """What this person may say now; where the desk would not count it, why not."""
    if not approval.live:
        return
    who, now = person(session.principal), time.time()
    asked = approval.asked.principal
    verbs, why_not = [], ""
    for verb in ("approve", "reject"):
        if verb == "approve" and approval.state is not State.PENDING:
            continue
        try:
            examine(approval, who, now, yes=verb == "approve")
            verbs.append(verb)
        except Unfit as why:
            why_not = visible(f"{str(why)[:1].upper()}{str(why)[1:]}.")
    if verbs:
        yield _answer_form(approval, session, verbs)
    if "approve" in verbs:
        yield grant_form(approval, session)
    if why_not:
        yield note(why_not)
    if who.issuer == asked.issuer and who.subject in {asked.subject, asked.acts_for}:
        yield html(
            '<form method="post" action="/approvals/{id}">{hidden}'
            '<button name="verb" value="cancel">Withdraw the call</button></form>',
            id=approval.id, hidden=hidden(session),
        )  # fmt: skip


def _answer_form(approval: Approval, session: Session, verbs: list[str]) -> Html:
    # A textarea, not a line: Enter in a line would press the first button.
    buttons = [
        html('<button name="verb" value="{verb}">{text}</button>', verb=verb, text=verb.capitalize()) for verb in verbs
    ]
    return html(
        '<form method="post" action="/approvals/{id}">{hidden}<fieldset><legend>Your answer</legend>'
        '<label>Reason (recorded, and shown to others)<textarea name="reason" rows="2" maxlength="1000"></textarea></label>'
        "{buttons}</fieldset></form>",
        id=approval.id, hidden=hidden(session), buttons=buttons,
    )  # fmt: skip
