"""Forms: what two readers could split or decode in two ways is refused."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.wire.forms import MAX_PAIRS, NotForm, loads


@pytest.mark.parametrize(
    ("body", "pairs"),
    [
        (b"", []),
        (b"a=1&b=2", [("a", "1"), ("b", "2")]),
        (b"a=1&a=2", [("a", "1"), ("a", "2")]),
        (b"a=x+y%20z%2B", [("a", "x y z+")]),
        (b"a=", [("a", "")]),
        (b"n=%C3%A9", [("n", "é")]),
        (b"t=one%0D%0Atwo", [("t", "one\r\ntwo")]),
        (b"a%5Bb%5D=1", [("a[b]", "1")]),
        (b"a=1%3Bb%3D2", [("a", "1;b=2")]),
    ],
)
def test_read(body: bytes, pairs: list[tuple[str, str]]) -> None:
    assert loads(body) == pairs


@pytest.mark.parametrize(
    "body",
    [
        b"a",
        b"=1",
        b"a=1&",
        b"&a=1",
        b"a=1&&b=2",
        b"a=b=c",
        b"a=1;b=2",
        b"a=%",
        b"a=%2",
        b"a=%zz",
        b"a=%ff",
        b"a=%C0%AF",
        b"a=\xc3\xa9",
        b"a=%00",
        b"a%00=1",
        b"a%0A=1",
        b"a=1\n",
        b"a=1 ",
        b'{"a":1}',
        b"\xef\xbb\xbfa=1",
        b"&".join([b"a=1"] * (MAX_PAIRS + 1)),
    ],
)
def test_refused_without_showing_it(body: bytes) -> None:
    with pytest.raises(NotForm) as caught:
        loads(body)
    assert caught.value.__context__ is None


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=5))
def test_what_a_client_writes_is_read_as_the_standard_library_reads_it(pairs: list[tuple[str, str]]) -> None:
    body = urlencode(pairs).encode()
    try:
        found = loads(body)
    except NotForm:
        assert any("\0" in value or any(c < " " or c == "\x7f" for c in name) for name, value in pairs)
        return
    assert found == pairs == parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(pairs))
