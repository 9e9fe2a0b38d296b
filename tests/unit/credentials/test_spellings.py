"""What targets echo, made with the encoders that targets use, must hold a needle; and scrubbing leaves nothing."""

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.secret import Secret
from funcgate.credentials.kinds import lease_for
from funcgate.credentials.spec import CredentialSpec
from funcgate.credentials.spellings import MIN_CHARS, spellings
from support.quick import examples

HARD = "p/w+d=&<\"'>%\\ ü~é*"
SECRETS = [
    "sk-live-5f1c9a7e",
    "abcdefgh",
    HARD,
    "a" * 40,
    "日本語のパスワード",
    '~!@#$%^&*()_+{}|:"<>?',
    "🔑🔑🔑🔑🔑🔑🔑🔑",
]


def json_script_safe(text: str) -> str:
    """As Go's encoding/json writes it."""
    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    return (
        plain.replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def json_markup_safe(text: str) -> str:
    """As .NET's default encoder writes it: markup and everything beyond ASCII as upper case escapes."""
    out = ""
    for char in text:
        if char in "<>&'\"+`" or not char.isascii():
            units = char.encode("utf-16-be").hex().upper()
            out += "".join("\\u" + units[at : at + 4] for at in range(0, len(units), 4))
        else:
            out += json.dumps(char)[1:-1]
    return out


ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, unpadded": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64url, unpadded": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "percent": lambda text: urllib.parse.quote(text, safe=""),
    "percent, path": urllib.parse.quote,
    "percent, lower": lambda text: _lower(urllib.parse.quote(text, safe="")),
    "encodeURIComponent": lambda text: urllib.parse.quote(text, safe="-_.!~*'()"),
    "encodeURI": lambda text: urllib.parse.quote(text, safe=";,/?:@&=+$-_.!~*'()#"),
    "form": lambda text: urllib.parse.urlencode({"k": text})[2:],
    "percent, signs too": lambda text: re.sub("[^A-Za-z0-9%]", lambda m: f"%{ord(m[0]):02X}", urllib.parse.quote(text, safe="")),
    "every byte": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "json": lambda text: json.dumps(text)[1:-1],
    "json, unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json, php": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json, go": json_script_safe,
    "json, .net": json_markup_safe,
    "json, every character": lambda text: _units(text, "04X"),
    "json, every character, lower": lambda text: _units(text, "04x"),
    "html": html.escape,
    "html, text": lambda text: html.escape(text, quote=False),
    "html, go": lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
}  # fmt: skip


def _units(text: str, form: str) -> str:
    raw = text.encode("utf-16-be")
    return "".join("\\u" + format(int.from_bytes(raw[at : at + 2]), form) for at in range(0, len(raw), 2))


def _lower(text: str) -> str:
    first, *rest = text.split("%")
    return first + "".join("%" + part[:2].lower() + part[2:] for part in rest)


def scrub(text: str, needles: tuple[Secret, ...]) -> str:
    for needle in needles:
        text = text.replace(needle.reveal(), "")
    return text


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_of_an_echo_is_left(secret: str, echo: str) -> None:
    assert scrub(f"[{ECHOES[echo](secret)}]", spellings(Secret(secret))) in ("[]", "[=]", "[==]")


@pytest.mark.parametrize("lead", range(6))
@pytest.mark.parametrize("tail", range(4))
def test_base64_of_something_longer(lead: int, tail: int) -> None:
    secret = "sk-live-5f1c9a7e0b"
    whole = b"x" * lead + secret.encode() + b"y" * tail
    left = scrub(base64.b64encode(whole).decode(), spellings(Secret(secret)))
    known = base64.b64decode(left + "=" * (-len(left) % 4), validate=True)
    # At most two bytes at each end share their base64 characters with the neighbours.
    assert len(known) <= lead + tail + 4


@given(st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"]), min_size=8, max_size=40))
@settings(max_examples=examples(150), deadline=None)
def test_any_secret_any_echo(secret: str) -> None:
    needles = spellings(Secret(secret))
    for name, echo in ECHOES.items():
        assert scrub(echo(secret), needles) in ("", "=", "=="), name


def test_needles_are_ordered_distinct_and_never_short() -> None:
    needles = [needle.reveal() for needle in spellings(Secret(HARD), Secret("short"))]
    assert needles == sorted(needles, key=lambda text: (-len(text), text))
    assert len(set(needles)) == len(needles)
    assert min(map(len, needles)) >= MIN_CHARS
    assert "short" not in needles
    # An ordinary key has few spellings: each costs a search in every answer.
    assert len(spellings(Secret("sk_live_5f1c9a7e0b2d4c6e"))) <= 16


def test_basic_needles_cover_the_pair_and_the_header() -> None:
    lease = lease_for(Secret(HARD), CredentialSpec(type="basic", secret="env:X", user="app"))
    pair = base64.b64encode(f"app:{HARD}".encode()).decode()
    for text in (
        pair,
        pair.rstrip("="),
        base64.urlsafe_b64encode(f"app:{HARD}".encode()).decode(),
        HARD,
        "Basic " + pair,
    ):
        left = scrub(text, lease.needles)
        assert left in ("", "=", "==", "Basic ")
    assert scrub(lease.headers[0][1].reveal(), lease.needles) == "Basic "
    assert scrub(urllib.parse.quote(pair, safe=""), lease.needles) == ""


def test_parts_of_a_header_that_a_target_may_echo_alone() -> None:
    spec = CredentialSpec(type="header", secret="env:X", name="Authorization")
    assert scrub("key 5f1c9a7e0b", lease_for(Secret("Token 5f1c9a7e0b"), spec).needles) == "key "
    spec = CredentialSpec(type="header", secret="env:X", name="Cookie")
    needles = lease_for(Secret("sid=5f1c9a7e0b; csrf=00aa11bb22=="), spec).needles
    assert scrub("sid: 5f1c9a7e0b, csrf: 00aa11bb22==", needles) == "sid: , csrf: "
