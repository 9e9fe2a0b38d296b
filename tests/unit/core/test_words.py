"""The small words: names for calls, selectors, units, secrets, journal lines."""

import time

import pytest

from funcgate.core.entry import Entry, Kind, decode_line, encode_line
from funcgate.core.ids import made_at, new_id
from funcgate.core.meter import BOUNDS_S, STEPS, Meter
from funcgate.core.principal import RawToken, make_principal
from funcgate.core.refusal import MEANINGS, Code, Refused
from funcgate.core.secret import Secret
from funcgate.core.selector import is_principal_selector, matching
from funcgate.core.units import parse_size, parse_time


def test_names_are_unique_and_sort_by_time() -> None:
    names = [new_id() for _ in range(5000)]
    assert len(set(names)) == 5000
    assert {len(name) for name in names} == {26}
    assert new_id(1.0) < new_id(2.0) < new_id(time.time()) < new_id(time.time() + 1)


def test_function_patterns() -> None:
    names = ["payments.get", "payments.getAll", "paymentsXget", "ledger.a.B/C"]
    assert matching("payments.get", names) == ["payments.get"]
    assert matching("payments.*", names) == ["payments.get", "payments.getAll"]
    assert matching("*", names) == names
    assert matching("*get", names) == ["payments.get", "paymentsXget"]
    assert matching("ledger.a.B/*", names) == ["ledger.a.B/C"]
    assert matching("none", names) == []


@pytest.mark.parametrize(
    ("text", "sound"),
    [("*", True), ("group:a", True), ("user:a b", True), ("group:", False), ("role:a", False), ("", False)],
)
def test_principal_selectors(text: str, sound: bool) -> None:
    assert is_principal_selector(text) is sound


def test_a_principal_answers_to_its_selectors() -> None:
    principal = make_principal("corp", "ann", frozenset({"a", "b"}), {"email": "secret"}, "t", 1.0)
    assert principal.selectors == {"*", "user:ann", "group:a", "group:b"}
    assert "secret" not in repr(principal)


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1 MiB", 1 << 20), ("500KB", 500_000), (7, 7), ("1.5KiB", 1536)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("5ms", 0.005), ("30s", 30), ("15m", 900), ("1.5h", 5400), (3, 3)])
def test_times(text: str | int, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "ms", "5 parsecs", "-5s", "1e3s", "5kib"])
def test_a_bad_unit_says_which_there_are(text: str) -> None:
    for parse in (parse_size, parse_time):
        with pytest.raises(ValueError, match="units: "):
            parse(text)


def test_a_secret_is_compared_and_never_shown() -> None:
    secret = Secret("hunter22")
    assert secret == Secret("hunter22")
    assert secret != Secret("hunter23")
    assert secret != "hunter22"
    assert "hunter22" not in f"{secret} {secret!r} {[secret]} {secret:>20}"
    with pytest.raises(TypeError):
        hash(secret)


def test_a_token_is_named_by_its_fingerprint() -> None:
    token = RawToken(b"a.b.c")
    assert len(token.fingerprint) == 16
    assert "a.b.c" not in repr(token)


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Code)
    assert Refused(Code.POLICY_DENIED).status == 403
    assert Refused(Code.REQUEST_TOO_LARGE, status=431).status == 431


def test_a_line_reads_back_and_leaves_out_what_is_empty() -> None:
    entry = Entry(seq=1, at="2026-01-01T00:00:00.000000Z", kind=Kind.ENDED, call="c", masked={"email": 2})
    line = encode_line(entry)
    assert decode_line(line) == entry
    assert b"principal" not in line
    assert line.endswith(b"}\n")


def test_durations_and_counts() -> None:
    meter = Meter()
    rest = [0] * (len(STEPS) - 2)
    assert meter.observe(1000, [1500, 4_000_500, *rest]) == {"identify": 0, "resolve": 3999}
    assert meter.observe(0, [1 << 60, 0, *rest]) == {"identify": (1 << 60) // 1000}
    identify, resolve = meter.steps["identify"], meter.steps["resolve"]
    assert (identify.within()[0], identify.within()[-2], identify.within()[-1]) == (1, 1, 2)
    assert BOUNDS_S[12] == pytest.approx(0.004096)
    assert (resolve.within()[11], resolve.within()[12], resolve.total_us) == (0, 1, 3999)
    meter.count("shop", "allow", "")
    meter.count("shop", "allow", "")
    assert meter.calls == {("shop", "allow", ""): 2}


@pytest.mark.parametrize("at", [0.0, 1_790_000_000.123, 4e9])
def test_a_name_tells_when_it_was_made(at: float) -> None:
    made = made_at(new_id(at))
    assert made is not None
    assert abs(made - at) <= 0.001


@pytest.mark.parametrize("name", ["", "0" * 25, "0" * 27, "U" * 26, "01m3250vz8g3nexhn55nt6q5qh", "ä" * 26])
def test_a_name_of_another_kind_does_not(name: str) -> None:
    assert made_at(name) is None
