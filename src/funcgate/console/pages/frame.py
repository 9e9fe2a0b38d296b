"""What all pages share: the frame, the headers that keep others out, cookies, and forms that are read strictly."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from litestar import Request, Response
from litestar.datastructures import Cookie

from funcgate.console.sessions import Session

from .markup import Html, html

MAX_FIELDS = 100
MAX_QUERY = 8192
CSS = "/console.css"

# Attack: a script in what is shown, another site's frame over a button, a page kept by a shared cache, an address with a ticket
# told to another site. "same-origin", not "no-referrer": with that, browsers send "Origin: null" with our own forms, too.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Elsewhere(Exception):
    """The browser is sent to another page of ours: `path`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Turned(Exception):
    """A request is turned away; the text is shown."""

    def __init__(self, text: str, status: int = 403) -> None:
        super().__init__(text)
        self.status = status


def page(title: str, body: Html, session: Session | None = None, status: int = 200) -> Response[Any]:
    """A whole page."""
    whole = html(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title} - funcgate</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="stylesheet" href="{css}"></head>'
        "<body>{header}<main><h1>{title}</h1>{body}</main></body></html>",
        title=title, css=CSS, header=_header(session), body=body,
    )  # fmt: skip
    return Response(whole.encode(), status_code=status, media_type="text/html; charset=utf-8", headers=dict(HEADERS))


def note(text: str, kind: str = "") -> Html:
    """One sentence that stands out; `kind` is ``bad`` or ``good``."""
    role = "alert" if kind == "bad" else "status"
    return html('<p class="note {kind}" role="{role}">{text}</p>', kind=kind, role=role, text=text)


def redirect(where: str, cookies: list[Cookie] | None = None) -> Response[Any]:
    """See Other: whatever was sent is not sent again."""
    return Response(b"", status_code=303, headers={**HEADERS, "Location": where}, cookies=cookies or [])


def style() -> Response[Any]:
    return Response(_css(), media_type="text/css; charset=utf-8", headers={**HEADERS, "Cache-Control": "max-age=300"})


def cookie(origin: str, name: str, value: str) -> Cookie:
    """For this host and this session of the browser; an empty value takes it away.

    `__Host-` makes browsers refuse it from another host of the domain, and over plain HTTP.
    """
    secure = origin.startswith("https:")
    return Cookie(
        key=cookie_name(origin, name), value=value, path="/", httponly=True, secure=secure, samesite="lax",
        max_age=None if value else 0,
    )  # fmt: skip


def cookie_name(origin: str, name: str) -> str:
    return f"__Host-{name}" if origin.startswith("https:") else name


def local(path: str) -> str:
    """The path, if it is one of ours; else the list of approvals."""
    # Attack: an open redirect: "//evil.example", "/\\evil.example" and "https:evil.example" all lead browsers away.
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/approvals"
    known = path.startswith(("/approvals", "/grants")) and len(path) <= 500
    sound = all("!" <= char <= "~" and char != "\\" for char in path) and not parts.scheme and not parts.netloc
    return path if known and sound else "/approvals"


def query(request: Request[Any, Any, Any]) -> dict[str, str]:
    """What stands after the ``?``. Raises `Turned`."""
    pairs = [(name, str(value)) for name, value in request.query_params.multi_items()]
    # Attack: the same name twice, which a proxy reads in one way and we in another.
    if len(dict(pairs)) != len(pairs) or sum(len(value) for _, value in pairs) > MAX_QUERY:
        raise Turned("The address says something twice, or is too long.", 400)
    return dict(pairs)


def with_query(path: str, **values: str) -> str:
    return f"{path}?{urlencode(values)}"


async def form(request: Request[Any, Any, Any], origin: str, session: Session) -> dict[str, str]:
    """The fields of a form that this session was shown. Raises `Turned`."""
    # Attack: CSRF: another site's page posts a form; the browser adds the cookie. It cannot read the token, nor set Origin.
    if request.headers.get("origin") != origin:
        raise Turned("This form did not come from the console's own page, so nothing was done. Open the page again.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Turned("This is not a form.", 415)
    try:
        pairs = parse_qsl(
            (await request.body()).decode("ascii"), keep_blank_values=True, strict_parsing=True, encoding="utf-8",
            errors="strict", max_num_fields=MAX_FIELDS,
        )  # fmt: skip
    except ValueError:
        raise Turned("The form cannot be read.", 400) from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Turned("The form says something twice.", 400)
    if not session.fits(fields.pop("csrf", "")):
        raise Turned("This form is of an earlier session, so nothing was done. Open the page again.")
    return fields


def hidden(session: Session) -> Html:
    """What every form holds."""
    return html('<input type="hidden" name="csrf" value="{csrf}">', csrf=session.csrf)


def _header(session: Session | None) -> Html:
    if session is None:
        return html("<header><strong>funcgate</strong></header>")
    return html(
        '<header><strong>funcgate</strong><nav aria-label="Pages"><a href="/approvals">Approvals</a> '
        '<a href="/grants">Grants</a></nav><form method="post" action="/sign-out">{hidden}'
        "<span>{who}</span> <button>Sign out</button></form></header>",
        hidden=hidden(session), who=session.principal.subject,
    )  # fmt: skip


@cache
def _css() -> bytes:
    return (files("funcgate.console") / "static" / "console.css").read_bytes()
