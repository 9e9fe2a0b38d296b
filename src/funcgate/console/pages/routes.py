"""All pages as one router, and what becomes of a request that is turned away."""

from typing import Any

from litestar import Request, Response, Router, get
from litestar.types import ExceptionHandlersMap

from funcgate.approval.answers import Answers
from funcgate.approval.tickets import Tickets
from funcgate.console.access import Access
from funcgate.core.approval import ApprovalStore, StoreFailed
from funcgate.core.refusal import Refused
from funcgate.identity.code_flow import CodeFlow, NoSignIn

from . import approvals, grants, sign_in
from .frame import CSS, Elsewhere, Turned, note, page, redirect, style
from .sign_in import Door


def pages(
    door: Door, flow: CodeFlow, issuer: str, answers: Answers, store: ApprovalStore, access: Access, tickets: Tickets
) -> Router:
    """The router. `issuer` is the name under which people are offered to sign in."""

    @get("/", sync_to_thread=False)
    def first() -> Response[Any]:
        return redirect("/approvals")

    @get(CSS, sync_to_thread=False)
    def css() -> Response[Any]:
        return style()

    handlers = [
        first,
        css,
        *sign_in.routes(door, flow, issuer),
        *approvals.routes(door, answers, store, access, tickets),
        *grants.routes(door, answers, store, access),
    ]
    return Router("/", route_handlers=handlers, exception_handlers=_exceptions(door), include_in_schema=False)


def _exceptions(door: Door) -> ExceptionHandlersMap:
    def turned(request: Request[Any, Any, Any], why: Turned) -> Response[Any]:
        return page("Not done", note(str(why), "bad"), door.find(request), why.status)

    def elsewhere(_: Request[Any, Any, Any], where: Elsewhere) -> Response[Any]:
        return redirect(where.path)

    def not_now(request: Request[Any, Any, Any], _: Exception) -> Response[Any]:
        text = "This cannot be done now: what has to be recorded or kept cannot be written. Try again later."
        return page("Not now", note(text, "bad"), door.find(request), 503)

    def nobody(_: Request[Any, Any, Any], why: NoSignIn) -> Response[Any]:
        return page("Not now", note("The identity provider cannot be reached now. Try again later.", "bad"), None, 503)

    return {Turned: turned, Elsewhere: elsewhere, Refused: not_now, StoreFailed: not_now, NoSignIn: nobody}
