"""One target to judge and to send: the attacks as a table, and that strict readers see what was judged."""

from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from funcgate.core.refusal import Code, Refused
from funcgate.wire.request_target import MAX_PAIRS, MAX_TARGET_BYTES, parse_request_target

HOST = b"api.example:8080"

REFUSED = {
    "dot segment": b"/a/../admin",
    "dot segment at the end": b"/a/..",
    "single dot": b"/a/./b",
    "encoded dots": b"/a/%2e%2e/admin",
    "half-encoded dots": b"/a/.%2E/admin",
    "empty segment": b"/a//b",
    "leading empty segment": b"//admin",
    "two trailing slashes": b"/a//",
    "encoded slash": b"/a%2fb",
    "encoded slash, upper case": b"/a%2Fb",
    "encoded backslash": b"/a%5cb",
    "backslash": b"/a\\b",
    "backslash dots": b"/a\\..\\admin",
    "path parameter": b"/a;jsessionid=1/b",
    "dots behind a path parameter": b"/a/..;/admin",
    "encoded semicolon": b"/a%3bb",
    "double encoding of a slash": b"/a%252fb",
    "double encoding of dots": b"/%252e%252e/admin",
    "double encoding of a letter": b"/%2541dmin",
    "triple encoding": b"/a%25252fb",
    "raw octets beyond ASCII": "/é".encode(),
    "raw Latin-1": b"/\xe9",
    "not UTF-8": b"/%e9",
    "overlong slash": b"/%c0%af",
    "overlong dot": b"/%c0%ae%c0%ae/admin",
    "encoded surrogate": b"/%ed%a0%80",
    "NUL": b"/a%00.json",
    "encoded line end": b"/a%0d%0aX-Admin:1",
    "encoded tab": b"/a%09",
    "encoded DEL": b"/a%7f",
    "encoded C1 control": b"/a%c2%85",
    "raw NUL": b"/a\x00",
    "raw line end": b"/a\nb",
    "raw trailing line end": b"/a\n",
    "raw space": b"/a b",
    "raw tab": b"/a\tb",
    "quote": b'/a"b',
    "angle brackets": b"/<a>",
    "braces": b"/{a}",
    "bracket": b"/[a]",
    "pipe": b"/a|b",
    "broken encoding": b"/a%",
    "broken encoding, one digit": b"/a%4",
    "broken encoding, no digits": b"/a%zz",
    "IIS encoding": b"/a%u002fb",
    "fragment": b"/a#b",
    "fragment in the query": b"/a?b=1#c",
    "asterisk": b"*",
    "authority form": b"api.example:8080",
    "no slash": b"a/b",
    "empty": b"",
    "query only": b"?a=1",
    "other host": b"http://evil.example/a",
    "other port": b"http://api.example:80/a",
    "userinfo": b"http://user@api.example:8080/a",
    "userinfo that is the host": b"http://api.example:8080@evil.example/a",
    "other scheme": b"ftp://api.example:8080/a",
    "scheme without slashes": b"http:/a",
    "backslashes for slashes": b"http:\\\\api.example:8080\\a",
    "absolute form with dots": b"http://api.example:8080/a/../b",
    "absolute form, empty segment": b"http://api.example:8080//a",
    "query: broken encoding": b"/a?b=%",
    "query: not UTF-8": b"/a?b=%ff",
    "query: NUL": b"/a?b=%00",
    "query: raw space": b"/a?b= c",
    "query: raw quote": b'/a?b="c"',
    "query: backslash": b"/a?b=\\c",
    "query: raw UTF-8": "/a?b=é".encode(),
    "query: no name": b"/a?=1",
    "query: control in a name": b"/a?b%0a=1",
    "query: too many": b"/a?" + b"&".join([b"a=1"] * (MAX_PAIRS + 1)),
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_attacks_are_refused(raw: bytes) -> None:
    with pytest.raises(Refused) as caught:
        parse_request_target(raw, HOST)
    assert caught.value.code is Code.REQUEST_INVALID
    assert caught.value.status == 400
    assert caught.value.public_detail
    assert caught.value.__context__ is None


def test_too_long_is_414() -> None:
    assert len(parse_request_target(b"/" + b"a" * (MAX_TARGET_BYTES - 1), HOST).path) == MAX_TARGET_BYTES
    with pytest.raises(Refused) as caught:
        parse_request_target(b"/" + b"a" * MAX_TARGET_BYTES, HOST)
    assert caught.value.status == 414


@pytest.mark.parametrize(
    ("raw", "path", "segments"),
    [
        (b"/", "/", ("",)),
        (b"/a", "/a", ("a",)),
        (b"/a/", "/a/", ("a", "")),
        (b"/A/b", "/A/b", ("A", "b")),
        (b"/%41%7E%2d", "/A~-", ("A~-",)),
        (b"/%c3%a9", "/%C3%A9", ("é",)),
        (b"/a%20b", "/a%20b", ("a b",)),
        (b"/100%25", "/100%25", ("100%",)),
        (b"/a@b", "/a@b", ("a@b",)),
        (b"/a%40b", "/a%40b", ("a@b",)),
        (b"/a%3ab", "/a%3Ab", ("a:b",)),
        (b"/a+b", "/a+b", ("a+b",)),
        (b"/.git", "/.git", (".git",)),
        (b"/a/...", "/a/...", ("a", "...")),
        (b"/file.tar%2egz", "/file.tar.gz", ("file.tar.gz",)),
        (b"http://API.example:8080/a", "/a", ("a",)),
        (b"HTTP://api.example:8080", "/", ("",)),
        (b"https://api.example:8080/a/", "/a/", ("a", "")),
    ],
)
def test_one_path(raw: bytes, path: str, segments: tuple[str, ...]) -> None:
    target = parse_request_target(raw, HOST)
    assert (target.path, target.segments, target.authority) == (path, segments, "api.example:8080")
    assert parse_request_target(path.encode(), HOST) == target


@pytest.mark.parametrize(
    ("query", "params", "sent"),
    [
        (b"a=1", [("a", "1")], "a=1"),
        (b"a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")], "a=1&b=2&a=3"),
        (b"", [], ""),
        (b"&&a=1&", [("a", "1")], "a=1"),
        (b"a", [("a", "")], "a="),
        (b"a=b=c", [("a", "b=c")], "a=b%3Dc"),
        (b"a=x+y", [("a", "x y")], "a=x%20y"),
        (b"a=x%2By", [("a", "x+y")], "a=x%2By"),
        (b"a=1;b=2", [("a", "1;b=2")], "a=1%3Bb%3D2"),
        (b"a=1%26b=2", [("a", "1&b=2")], "a=1%26b%3D2"),
        (b"f[x]=1", [("f[x]", "1")], "f%5Bx%5D=1"),
        (b"u=http://x/y?z", [("u", "http://x/y?z")], "u=http://x/y?z"),
        (b"a=%2e%2E", [("a", "..")], "a=.."),
        (b"a=%2541", [("a", "%41")], "a=%2541"),
        (b"t=one%0Atwo", [("t", "one\ntwo")], "t=one%0Atwo"),
        (b"%61=%62", [("a", "b")], "a=b"),
    ],
)
def test_one_query(query: bytes, params: list[tuple[str, str]], sent: str) -> None:
    target = parse_request_target(b"/p?" + query, HOST)
    assert (list(target.params), target.query) == (params, sent)
    assert list(parse_request_target(b"/p?" + sent.encode(), HOST).params) == params


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        (b"A.Example", "a.example"),
        (b"a:80", "a:80"),
        (b"[::1]:8080", "[::1]:8080"),
        (b"127.0.0.1", "127.0.0.1"),
        (b"", ""),
    ],
)
def test_host(host: bytes, authority: str) -> None:
    assert parse_request_target(b"/", host).authority == authority


@pytest.mark.parametrize(
    "host",
    [
        None,
        b"a, b",
        b"a b",
        b"a@b",
        b"a/b",
        b"a:",
        b"a:65536",
        b"a:99999999",
        b"a:b",
        b"a#",
        b"a?",
        b"a\\b",
        b"a%41",
        b"\xc3\xa9",
        b"::1",
        b"[::1",
        b"[]",
        b"a\n",
        b" a",
        b"a" * 254,
    ],
)
def test_bad_host(host: bytes | None) -> None:
    with pytest.raises(Refused):
        parse_request_target(b"/", host)


SEGMENT = st.text(min_size=1, max_size=8)
ODD = st.sampled_from(b"/ a %41 %2 %2e . .. %2F ; ? & = + %25 %c3%a9 # \\ %00 \xff ~ [ %3B http:// @ :".split())


def strict_readers_agree(raw: bytes) -> None:
    """Whatever is let through: three readers see in what is sent the segments and the parameters that were judged."""
    try:
        target = parse_request_target(raw, HOST)
    except Refused:
        return
    sent = target.path + ("?" + target.query if target.query else "")
    url = "http://api.example:8080" + sent
    parts = urlsplit(url)
    assert (parts.path, parts.query, parts.fragment) == (target.path, target.query, "")
    assert tuple(unquote(part, errors="strict") for part in parts.path[1:].split("/")) == target.segments
    assert tuple(parse_qsl(parts.query, keep_blank_values=True)) == target.params
    assert ";" not in sent
    by_yarl = URL(url)
    assert by_yarl.parts[1:] == target.segments or target.segments[-1:] == ("",)
    assert tuple(by_yarl.query.items()) == target.params
    by_httpx = httpx.URL(url)
    assert by_httpx.path == "/" + "/".join(target.segments)
    assert tuple(by_httpx.params.multi_items()) == target.params
    assert not {".", ".."} & set(target.segments)
    assert parse_request_target(sent.encode(), HOST) == target


@given(st.lists(ODD, max_size=12))
@example([b"a", b"%25", b"a"])
def test_what_is_judged_is_what_strict_readers_see(pieces: list[bytes]) -> None:
    strict_readers_agree(b"/" + b"".join(pieces))


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_or_read_alike(raw: bytes) -> None:
    strict_readers_agree(raw)
    strict_readers_agree(b"/" + raw)


@given(st.lists(SEGMENT, min_size=1, max_size=4), st.lists(st.tuples(SEGMENT, st.text(max_size=8)), max_size=4))
def test_what_an_honest_client_means_is_what_is_judged(segments: list[str], pairs: list[tuple[str, str]]) -> None:
    raw = "/" + "/".join(quote(segment, safe="") for segment in segments) + "?" + urlencode(pairs)
    try:
        target = parse_request_target(raw.encode(), HOST)
    except Refused:
        return
    assert (target.segments, target.params) == (tuple(segments), tuple(pairs))
