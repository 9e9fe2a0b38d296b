"""Signing in at the console with a browser, at a real provider; and every way in which somebody else could try to."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwk, jwt

from funcgate.identity.code_flow import challenge
from support.authority import ISSUER, Authority
from support.browser import Browser
from support.gate import Gate, free_port, settings, until
from support.provider import Provider, TokenEndpoint
from support.target import Target

FUNCTIONS: list[dict[str, Any]] = [{"name": "read", "http": "GET /read"}]


def with_console(port: int, **sign_in: Any) -> dict[str, Any]:
    plain = {"issuer": "corp", "client_id": "console", "public_url": f"http://127.0.0.1:{port}"}
    listen = {"calls": "127.0.0.1:0", "console": f"127.0.0.1:{port}"}
    return {"listen": listen, "console": {"sign_in": plain | sign_in}}


def signings(gate: Gate) -> list[dict[str, Any]]:
    return [entry for entry in gate.entries() if str(entry.get("change", {}).get("what", "")).startswith("sign-")]


@pytest.fixture(scope="module")
def gate(shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """With the development provider, found by discovery."""
    provider = Provider().start()
    issuers = [{"name": "corp", "issuer": provider.url, "audience": "funcgate"}]
    changes = with_console(free_port()) | {"issuers": issuers}
    authority = Authority(tmp_path_factory.mktemp("unused"))
    running = Gate(tmp_path_factory.mktemp("gate"), settings(authority, shared_target.url, FUNCTIONS, **changes))
    yield running.start()
    assert running.stop() == 0
    provider.stop()


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.close()


def home(gate: Gate) -> str:
    return f"http://127.0.0.1:{gate.console}"


def test_signing_in_and_out(gate: Gate, browser: Browser) -> None:
    before = len(signings(gate))
    page = browser.sign_in(f"{home(gate)}/grants", "bob")
    assert page.url == f"{home(gate)}/grants"  # where bob wanted to go
    old = browser.client.cookies["funcgate"]
    assert "You are signed out" in browser.press(page, "/sign-out").text
    assert browser.get(f"{home(gate)}/grants").url.startswith(f"{home(gate)}/sign-in?")
    # Attack: go on with a cookie that was copied before signing out.
    stolen = httpx.get(f"{home(gate)}/grants", cookies={"funcgate": old}, trust_env=False)
    assert stolen.headers["location"].startswith("/sign-in?")
    signed_in, signed_out = signings(gate)[before:]
    for entry, what in ((signed_in, "sign-in"), (signed_out, "sign-out")):
        assert (entry["kind"], entry["change"]["what"], entry["outcome"]) == ("admin", what, "complete")
        assert (entry["principal"]["subject"], entry["principal"]["groups"]) == ("bob", ["finance"])
        assert entry["client"] == "127.0.0.1"
    assert old not in json.dumps(gate.entries()) + gate.log.read_text()


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example/", "//evil.example/approvals", "/\\evil.example", "/approvals@evil.example\r\nx: y",
        "/sign-out", "approvals", "javascript:alert(1)", "/grants\\..\\", "/approvals " + "x" * 600,
    ],
)  # fmt: skip
def test_nobody_is_sent_elsewhere_afterwards(gate: Gate, browser: Browser, back: str) -> None:
    # Attack: an open redirect: a link to our own host that ends, signed in, on somebody else's page.
    page = browser.sign_in(f"{home(gate)}/sign-in?{urlencode({'back': back})}", "bob")
    assert page.url == f"{home(gate)}/approvals"
    assert browser.get(f"{home(gate)}/sign-in?{urlencode({'back': back})}").url == f"{home(gate)}/approvals"


def callback_of(browser: Browser, gate: Gate, subject: str) -> str:
    """A sign-in up to the last step: the address that the provider sends the browser back to."""
    asked = browser.get(f"{home(gate)}/sign-in/start")
    return str(browser.press(asked, subject, follow=False).answer.headers["location"])


def test_an_answer_counts_once_and_in_its_own_browser(gate: Gate, browser: Browser) -> None:
    where, other = callback_of(browser, gate, "bob"), Browser()
    # Attack: login CSRF: the attacker's own answer in the victim's browser, which then acts in the attacker's name.
    assert other.get(where).status == 403
    other.get(f"{home(gate)}/sign-in/start")
    assert other.get(where).status == 403
    other.close()
    assert "bob" in browser.get(where).text
    # Attack: play the answer again, from the browser's history or a log.
    assert browser.get(where).status == 403
    again = Browser()
    again.client.cookies = browser.client.cookies
    assert again.get(where).status == 403
    again.close()


def test_a_name_that_was_planted_is_not_taken_over(gate: Gate, browser: Browser) -> None:
    planted = "planted-by-somebody-0123456789abcdef0123456"
    browser.client.cookies.set("funcgate", planted, domain="127.0.0.1", path="/")
    browser.sign_in(f"{home(gate)}/approvals", "bob")
    # Attack: fixation: wait until the victim has signed in under a name that the attacker knows.
    seen = httpx.get(f"{home(gate)}/approvals", cookies={"funcgate": planted}, trust_env=False)
    assert seen.status_code == 303
    first = browser.client.cookies["funcgate"]
    browser.get(callback_of(browser, gate, "eve"))
    assert browser.client.cookies["funcgate"] != first
    assert "eve" in browser.get(f"{home(gate)}/approvals").text
    assert httpx.get(f"{home(gate)}/approvals", cookies={"funcgate": first}, trust_env=False).status_code == 303


def test_a_form_after_the_end_of_the_session_does_nothing(gate: Gate, browser: Browser) -> None:
    page = browser.sign_in(f"{home(gate)}/approvals", "bob")
    browser.client.cookies.clear()
    late = browser.press(page, "/sign-out")
    assert late.status == 403
    assert "not signed in any more" in late.text


def test_what_is_said_twice_is_not_read(gate: Gate, browser: Browser) -> None:
    where = callback_of(browser, gate, "bob")
    assert browser.get(f"{where}&code=another").status == 400


# -- a provider that lies


class Lying:
    """A gateway whose provider's token endpoint is the test's, with the keys of the tests' authority."""

    def __init__(self, gate: Gate, endpoint: TokenEndpoint, authority: Authority) -> None:
        self.gate, self.endpoint, self.authority = gate, endpoint, authority

    def begin(self, browser: Browser) -> dict[str, str]:
        asked = browser.get(f"{home(self.gate)}/sign-in/start", follow=False).answer.headers["location"]
        return {name: values[0] for name, values in parse_qs(urlsplit(asked).query).items()}

    def id_token(self, asked: dict[str, str], typ: str = "JWT", **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER, "sub": "bob", "aud": "console", "iat": now, "exp": now + 300, "nonce": asked["nonce"],
            "groups": ["finance"], **changes,
        }  # fmt: skip
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": "k1", "typ": typ}, kept, self.authority.key)

    def end(self, browser: Browser, asked: dict[str, str], **more: str) -> Any:
        query = urlencode({"code": "c0de", "state": asked["state"], **more})
        return browser.get(f"{home(self.gate)}/sign-in/callback?{query}")


@pytest.fixture(scope="module")
def lying(authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lying]:
    endpoint = TokenEndpoint().start()
    folder = tmp_path_factory.mktemp("lying")
    secret = folder / "secret"
    secret.write_text("s3cret/+")
    secret.chmod(0o600)
    changes = with_console(
        free_port(), authorize_url="https://idp.test/authorize?tenant=1", token_url=endpoint.url,
        client_secret=f"file:{secret}", scopes=["openid", "groups"],
    )  # fmt: skip
    gate = Gate(folder, settings(authority, shared_target.url, FUNCTIONS, **changes)).start()
    yield Lying(gate, endpoint, authority)
    assert gate.stop() == 0
    endpoint.stop()


def test_what_the_provider_is_asked(lying: Lying, browser: Browser) -> None:
    asked = lying.begin(browser)
    assert (asked["response_type"], asked["scope"], asked["tenant"]) == ("code", "openid groups", "1")
    assert asked["redirect_uri"] == f"{home(lying.gate)}/sign-in/callback"
    assert min(len(asked["state"]), len(asked["nonce"])) >= 43
    lying.endpoint.says(id_token=lying.id_token(asked))
    assert "bob" in lying.end(browser, asked).text
    headers, form = lying.endpoint.asked[-1]
    assert (form["grant_type"], form["code"], form["redirect_uri"]) == (
        "authorization_code",
        "c0de",
        asked["redirect_uri"],
    )
    assert (challenge(form["code_verifier"]), "S256") == (asked["code_challenge"], asked["code_challenge_method"])
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"console:s3cret%2F%2B"
    assert "client_secret" not in form
    assert "s3cret" not in lying.gate.log.read_text()


def others_token(lying: Lying, asked: dict[str, str]) -> str:
    stranger = jwk.ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
    return jwt.encode({"alg": "ES256", "kid": "k1"}, {"iss": ISSUER, "sub": "bob"}, stranger)


def unsigned(lying: Lying, asked: dict[str, str]) -> str:
    signed = lying.id_token(asked).split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{head}.{signed[1]}."


@pytest.mark.parametrize(
    "token",
    [
        lambda lying, asked: lying.id_token(asked, nonce="another"),
        lambda lying, asked: lying.id_token(asked, aud="funcgate"),
        lambda lying, asked: lying.id_token(asked, exp=int(time.time()) - 120),
        lambda lying, asked: lying.id_token(asked, typ="at+jwt"),
        others_token,
        unsigned,
    ],
)
def test_an_id_token_that_is_not_for_this_sign_in(
    lying: Lying, browser: Browser, token: Callable[[Lying, dict[str, str]], str]
) -> None:
    asked = lying.begin(browser)
    lying.endpoint.says(id_token=token(lying, asked))
    refused = lying.end(browser, asked)
    assert refused.status == 403
    assert "not accepted" in refused.text
    assert "funcgate" not in browser.client.cookies


def test_a_refused_sign_in_is_recorded(lying: Lying, browser: Browser) -> None:
    def recorded() -> list[dict[str, Any]]:
        """A try; of too many in one second only the number is recorded."""
        asked = lying.begin(browser)
        lying.endpoint.says(id_token=lying.id_token(asked, azp="other"))
        assert lying.end(browser, asked).status == 403
        return [entry for entry in signings(lying.gate) if "azp" in entry.get("detail", "")]

    entry = until(recorded)[0]
    assert (entry["outcome"], entry["client"], "principal" in entry) == ("refused", "127.0.0.1", False)


def test_the_token_of_another_sign_in_is_not_taken(lying: Lying, browser: Browser) -> None:
    first, second = lying.begin(browser), lying.begin(browser)
    lying.endpoint.says(id_token=lying.id_token(first))
    assert lying.end(browser, second).status == 403


@pytest.mark.parametrize(
    "answer",
    [(500, b""), (302, b""), (200, b"<html>"), (200, b"{}"), (200, b'{"id_token": 7}'), (400, b'{"error": "x"}')],
)
def test_a_token_endpoint_that_fails(lying: Lying, browser: Browser, answer: tuple[int, bytes]) -> None:
    asked = lying.begin(browser)
    lying.endpoint.answer = answer
    assert lying.end(browser, asked).status == 403
    assert "funcgate" not in browser.client.cookies


def test_another_providers_answer(lying: Lying, browser: Browser) -> None:
    asked, before = lying.begin(browser), len(lying.endpoint.asked)
    lying.endpoint.says(id_token=lying.id_token(asked))
    # Attack: mix-up: the code is another provider's, and would be sent to this one.
    assert lying.end(browser, asked, iss="https://evil.example").status == 403
    assert len(lying.endpoint.asked) == before
    asked = lying.begin(browser)
    lying.endpoint.says(id_token=lying.id_token(asked))
    assert "bob" in lying.end(browser, asked, iss=ISSUER).text


def test_the_provider_says_no(lying: Lying, browser: Browser) -> None:
    asked, before = lying.begin(browser), len(lying.endpoint.asked)
    refused = lying.end(browser, asked, error="access_denied", error_description="<b>evil</b>")
    assert refused.status == 403
    assert "evil" not in refused.text
    assert len(lying.endpoint.asked) == before


def test_cookies_for_https(make_gate: Callable[..., Gate], tmp_path: Path) -> None:
    changes = with_console(
        free_port(), public_url="https://console.example", authorize_url="https://idp.test/authorize",
        token_url="https://idp.test/token",
    )  # fmt: skip
    gate = make_gate(**changes).start()
    began = httpx.get(f"{home(gate)}/sign-in/start", trust_env=False)
    cookie = SimpleCookie(began.headers["set-cookie"])["__Host-funcgate-sign-in"]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"].lower()) == (True, True, "lax")
    assert (cookie["path"], cookie["domain"]) == ("/", "")
    asked = parse_qs(urlsplit(began.headers["location"]).query)
    assert asked["redirect_uri"] == ["https://console.example/sign-in/callback"]


def test_a_provider_that_is_down(make_gate: Callable[..., Gate], authority: Authority) -> None:
    issuers = [
        {"name": "corp", "issuer": f"http://127.0.0.1:{free_port()}", "audience": "funcgate"},
        {"name": "other", "issuer": ISSUER, "audience": "funcgate", "jwks_file": str(authority.jwks_file)},
    ]
    gate = make_gate(**with_console(free_port()), issuers=issuers).start()
    answer = httpx.get(f"{home(gate)}/sign-in/start", trust_env=False)
    assert answer.status_code == 503
    assert "cannot be reached" in answer.text
    assert "Traceback" not in gate.log.read_text()


def test_without_sign_in_there_are_no_pages(make_gate: Callable[..., Gate]) -> None:
    gate = make_gate().start()
    for path in ("/approvals", "/sign-in", "/sign-in/start", "/grants", "/console.css", "/"):
        assert gate.get_console(path)[0] == 404
