"""The development provider's page for people: a click says who one is. Codes with PKCE, for programs on this machine.

It refuses to send a code anywhere but to a loopback address: everybody may be anybody here.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from html import escape
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlencode, urlsplit

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

CODE_S = 60.0
MOST_CODES = 1000
_ASKED = ("client_id", "redirect_uri", "state", "nonce", "code_challenge")


class Codes:
    """Authorization codes (RFC 6749, section 4.1): each good once, for a minute, for the client it was asked by."""

    def __init__(self) -> None:
        self._codes: dict[str, tuple[str, Mapping[str, str], float]] = {}

    def issue(self, subject: str, asked: Mapping[str, str]) -> str:
        if len(self._codes) >= MOST_CODES:
            del self._codes[next(iter(self._codes))]
        code = token_urlsafe(24)
        self._codes[code] = (subject, asked, time.monotonic() + CODE_S)
        return code

    def redeem(self, form: Mapping[str, str]) -> tuple[str, Mapping[str, str]] | None:
        """Who signed in, and what had been asked; None for a code that is not good."""
        subject, asked, until = self._codes.pop(form.get("code", ""), ("", {}, 0.0))
        same = all(form.get(name) == asked.get(name) for name in ("client_id", "redirect_uri"))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        # Attack: redeem a code that was overheard on its way through the browser (RFC 7636).
        if not subject or time.monotonic() >= until or not same:
            return None
        return (subject, asked) if hmac.compare_digest(proof, asked["code_challenge"]) else None


def sign_in_page(issuer: str, people: Mapping[str, tuple[str, ...]], codes: Codes) -> list[HTTPRouteHandler]:
    """`/authorize`: the page, and the click on it. `people` are names with their groups."""

    @get("/authorize", sync_to_thread=False)
    def ask(request: Request[Any, Any, Any]) -> Response[str]:
        asked = {name: value for name in _ASKED if (value := request.query_params.get(name))}
        if why := _fault(dict(request.query_params)):
            return _page(f"<p>{escape(why)}</p>", 400)
        hidden = "".join(f'<input type="hidden" name="{name}" value="{escape(text)}">' for name, text in asked.items())
        buttons = "".join(
            f'<p><button name="subject" value="{escape(name)}">{escape(name)}</button> {escape(", ".join(groups))}</p>'
            for name, groups in people.items()
        )
        return _page(f'<form method="post" action="/authorize">{hidden}{buttons}</form>')

    @post("/authorize", status_code=200)
    async def say(request: Request[Any, Any, Any]) -> Response[str]:
        form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
        subject, asked = form.get("subject", ""), {name: form[name] for name in _ASKED if name in form}
        why = _fault({**asked, "response_type": "code", "code_challenge_method": "S256"})
        if why or subject not in people:
            return _page(f"<p>{escape(why or 'nobody has this name')}</p>", 400)
        answer = {"code": codes.issue(subject, asked), "state": asked.get("state", ""), "iss": issuer}
        where = f"{asked['redirect_uri']}?{urlencode(answer)}"
        return Response("", status_code=303, headers={"Location": where, "Cache-Control": "no-store"})

    return [ask, say]


def _fault(asked: Mapping[str, Any]) -> str:
    if (
        asked.get("response_type") != "code"
        or asked.get("code_challenge_method") != "S256"
        or not asked.get("code_challenge")
    ):
        return "this provider gives codes only, with PKCE (S256)"
    # Attack: a link to this page that sends the code of whoever clicks to somebody else's server.
    where = urlsplit(asked.get("redirect_uri", ""))
    if (
        where.scheme != "http"
        or where.hostname not in ("127.0.0.1", "localhost", "::1")
        or where.query
        or where.fragment
    ):
        return "redirect_uri must be http:// on this machine, without a query"
    return "" if asked.get("client_id") else "client_id is missing"


def _page(body: str, status: int = 200) -> Response[str]:
    whole = (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Development sign-in</title>'
        "<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui;max-width:40rem;margin:3rem auto}</style>"
        f"<h1>Who are you?</h1><p>The development provider believes anybody.</p>{body}</html>"
    )
    headers = {"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}
    return Response(whole, status_code=status, media_type="text/html; charset=utf-8", headers=headers)
