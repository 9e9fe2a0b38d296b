"""Signing in and out with a browser. Sessions begin here and nowhere else; beginnings and ends are recorded first."""

from collections.abc import Callable
from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from funcgate.console.sessions import Attempts, Session, Sessions
from funcgate.core.entry import Entry, Kind, who_is
from funcgate.core.ports import Journal
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused
from funcgate.identity.code_flow import CodeFlow

from .frame import Elsewhere, Turned, cookie, cookie_name, form, local, note, page, query, redirect, with_query
from .markup import html

SESSION = "funcgate"
BROWSER = "funcgate-sign-in"


class Door:
    """Who comes in: the cookie of a request into a session. `origin` is the console's, as browsers spell it."""

    def __init__(self, origin: str, sessions: Sessions, journal: Journal, admit: Callable[[Code], bool]) -> None:
        self.origin = origin
        self.sessions = sessions
        self._journal = journal
        self._admit = admit

    def find(self, request: Request[Any, Any, Any]) -> Session | None:
        return self.sessions.find(self.name(request))

    def session(self, request: Request[Any, Any, Any]) -> Session:
        """Raises `Elsewhere`: to sign in first, and then come back."""
        found = self.find(request)
        if found is None:
            query = f"?{request.url.query}" if request.url.query else ""
            raise Elsewhere(with_query("/sign-in", back=local(f"{request.url.path}{query}")))
        return found

    def acting(self, request: Request[Any, Any, Any]) -> Session:
        """As `session`, for a form: what it says is not kept until somebody has signed in. Raises `Turned`."""
        found = self.find(request)
        if found is None:
            raise Turned("You are not signed in any more, so nothing was done. Sign in and do it again.")
        return found

    def name(self, request: Request[Any, Any, Any]) -> str:
        return request.cookies.get(cookie_name(self.origin, SESSION), "")

    async def record(self, what: str, principal: Principal, request: Request[Any, Any, Any]) -> None:
        """Raises `Refused` when it cannot be recorded: then it does not happen."""
        await self._journal.append(_entry(what, "complete", request, principal))

    async def refused(self, refused: Refused, request: Request[Any, Any, Any]) -> None:
        # Attack: sign-ins that fail by the thousand, each an entry, until the disk is full. The rest is counted.
        if self._admit(Code.IDENTITY_INVALID):
            await self._journal.append(_entry("sign-in", "refused", request, None, refused.private_detail))


def _entry(
    what: str, outcome: str, request: Request[Any, Any, Any], principal: Principal | None, detail: str = ""
) -> Entry:
    return Entry(
        kind=Kind.ADMIN, call="", principal=None if principal is None else who_is(principal), outcome=outcome,
        client=request.client.host if request.client else "", detail=detail, change={"what": what, "channel": "console"},
    )  # fmt: skip


def routes(door: Door, flow: CodeFlow, issuer: str) -> list[HTTPRouteHandler]:
    """`/sign-in`, `/sign-in/start`, `/sign-in/callback` and `/sign-out`."""
    attempts = Attempts()

    @get("/sign-in", sync_to_thread=False)
    def sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
        """Nothing begins by itself: after signing out one stays outside, and a link in a mail begins no sign-in."""
        back = local(query(request).get("back", ""))
        if door.find(request) is not None:
            return redirect(back)
        body = html(
            "<p>To see calls that wait for an approval, and to answer them, say who you are.</p>"
            '<p><a href="{start}">Sign in with {issuer}</a></p>',
            start=with_query("/sign-in/start", back=back), issuer=issuer,
        )  # fmt: skip
        return page("Sign in", body)

    @get("/sign-in/start")
    async def start(request: Request[Any, Any, Any]) -> Response[Any]:
        attempt = await flow.begin()
        browser = attempts.add(attempt, local(query(request).get("back", "")))
        return redirect(attempt.url, [cookie(door.origin, BROWSER, browser)])

    @get("/sign-in/callback")
    async def callback(request: Request[Any, Any, Any]) -> Response[Any]:
        sent = query(request)
        state, code = sent.get("state", ""), sent.get("code", "")
        begun = attempts.take(state, request.cookies.get(cookie_name(door.origin, BROWSER), ""))
        if begun is None:
            raise Turned("This sign-in was not begun in this browser, or is over already. Please sign in again.")
        if "error" in sent or not code:
            raise Turned("The identity provider did not sign you in. Please sign in again.")
        try:
            principal = await flow.finish(begun.attempt, code, sent.get("iss"))
        except Refused as refused:
            await door.refused(refused, request)
            raise Turned("The identity provider's answer is not accepted. Please sign in again.") from None
        await door.record("sign-in", principal, request)
        door.sessions.end(door.name(request))
        name = door.sessions.begin(principal)
        cookies = [cookie(door.origin, SESSION, name), cookie(door.origin, BROWSER, "")]
        return redirect(begun.back, cookies)

    @post("/sign-out", status_code=200)
    async def sign_out(request: Request[Any, Any, Any]) -> Response[Any]:
        session = door.acting(request)
        await form(request, door.origin, session)
        door.sessions.end(door.name(request))
        await door.record("sign-out", session.principal, request)
        answer = page(
            "Signed out", html('{said}<p><a href="/sign-in">Sign in</a></p>', said=note("You are signed out.", "good"))
        )
        answer.set_cookie(cookie(door.origin, SESSION, ""))
        return answer

    return [sign_in, start, callback, sign_out]
