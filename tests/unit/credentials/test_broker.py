"""From configuration to lease, from the real environment and real files; and everything that is refused."""

import asyncio
import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from funcgate.core.lease import Lease
from funcgate.core.ports import Broker as BrokerPort
from funcgate.core.problem import Problem, Unusable
from funcgate.core.refusal import Code, Refused
from funcgate.credentials import Broker, CredentialSpec

KEY = "sk-live-5f1c9a7e"
WHERE = ("targets", 0, "credential")


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def broker(base: Path, environ: Mapping[str, str] | None = None, clock: Clock | None = None, **spec: Any) -> Broker:
    given = {"PAY": KEY} if environ is None else environ
    fields = {"type": "bearer", "secret": "env:PAY"} | spec
    return Broker({"pay": (CredentialSpec(**fields), WHERE)}, base=base, environ=given, clock=clock or Clock())


def lease(broker: Broker, target: str = "pay") -> Lease:
    return asyncio.run(broker.lease(target))


def refused(broker: Broker, target: str = "pay") -> Refused:
    with pytest.raises(Refused) as caught:
        lease(broker, target)
    assert caught.value.code == Code.TARGET_UNREACHABLE
    assert caught.value.public_detail == ""
    return caught.value


def problems(base: Path, environ: Mapping[str, str] | None = None, **spec: Any) -> list[Problem]:
    with pytest.raises(Unusable) as caught:
        broker(base, environ, **spec)
    return caught.value.problems


def revealed(lease: Lease) -> tuple[dict[str, str], dict[str, str]]:
    return ({n: v.reveal() for n, v in lease.headers}, {n: v.reveal() for n, v in lease.query})


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace the file at once, as whoever rotates a secret should."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(text.encode())
    fresh.chmod(mode)
    os.replace(fresh, path)


@pytest.mark.parametrize(
    ("spec", "headers", "query"),
    [
        ({"type": "bearer"}, {"Authorization": f"Bearer {KEY}"}, {}),
        ({"type": "basic", "user": "app"}, {"Authorization": "Basic " + base64.b64encode(f"app:{KEY}".encode()).decode()}, {}),
        ({"type": "basic"}, {"Authorization": "Basic " + base64.b64encode(f":{KEY}".encode()).decode()}, {}),
        ({"type": "header", "name": "X-Api-Key"}, {"X-Api-Key": KEY}, {}),
        ({"type": "query", "name": "api_key"}, {}, {"api_key": KEY}),
    ],
)  # fmt: skip
def test_each_type(spec: dict[str, Any], headers: dict[str, str], query: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    for secret in ("env:PAY", "file:key", f"file:{tmp_path}/key"):
        port: BrokerPort = broker(tmp_path, secret=secret, **spec)
        assert revealed(asyncio.run(port.lease("pay"))) == (headers, query)


def test_a_lease_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    for secret in ("env:PAY", "file:key"):
        made = broker(tmp_path, secret=secret)
        assert lease(made) is lease(made)


def test_a_target_without_a_credential_and_one_that_is_unknown(tmp_path: Path) -> None:
    made = Broker({"open": (None, ("targets", 3, "credential"))}, base=tmp_path)
    assert lease(made, "open") == Lease()
    refused(made, "opem")


def test_the_process_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNCGATE_TEST_PAY", KEY)
    made = Broker({"pay": (CredentialSpec(type="bearer", secret="env:FUNCGATE_TEST_PAY"), WHERE)}, base=tmp_path)
    assert revealed(lease(made))[0] == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("content", [KEY, KEY + "\n", KEY + "\r\n"])
def test_one_line_end_is_not_part_of_the_secret(content: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content.encode())
    assert revealed(lease(broker(tmp_path, secret="file:key")))[0] == {"Authorization": f"Bearer {KEY}"}


def test_a_file_is_read_again_when_it_changes_but_looked_at_once_a_second(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "key"
    write(path, KEY)
    made = broker(tmp_path, clock=clock, secret="file:key", type="header", name="X-Key")
    first = lease(made)
    write(path, "another-key-1")
    clock.at += 0.9
    assert lease(made) is first
    clock.at += 0.1
    assert revealed(lease(made))[0] == {"X-Key": "another-key-1"}
    assert not {needle.reveal() for needle in lease(made).needles} & {KEY}
    before = path.stat()
    path.write_text("another-key-2")  # the same length, in place, and the old time put back
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    clock.at += 1
    assert revealed(lease(made))[0] == {"X-Key": "another-key-2"}
    second = lease(made)
    clock.at += 10
    assert lease(made) is second


@pytest.mark.parametrize(
    "how", ["gone", "empty", "only a line end", "a folder", "short", "two lines", "no UTF-8", "too long", "NUL"]
)
def test_a_file_that_fails_refuses_until_it_is_mended(how: str, tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "key"
    write(path, KEY)
    made = broker(tmp_path, clock=clock, secret="file:key")
    before = lease(made)
    path.unlink()
    content = {
        "empty": b"", "only a line end": b"\n", "short": b"1234567\n", "two lines": b"first-line\nsecond-line\n",
        "no UTF-8": b"\xff\xfe1234567", "too long": b"x" * 70_000, "NUL": b"12345678\x00",
    }  # fmt: skip
    if how == "a folder":
        path.mkdir()
    elif how != "gone":
        path.write_bytes(content[how])
    clock.at += 1
    for _ in range(3):
        detail = refused(made).private_detail
        assert "pay" in detail
        assert not any(part in detail for part in ("1234567", "first-line", "xxxx"))
        clock.at += 0.4
    if how == "a folder":
        path.rmdir()
    write(path, KEY)
    clock.at += 1
    assert revealed(lease(made)) == revealed(before)


def test_a_pipe_does_not_stop_the_gateway(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    assert [problem.where for problem in problems(tmp_path, secret="file:key")] == [(*WHERE, "secret")]


def test_whoever_else_can_read_the_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for mode, words in (
        (0o600, []),
        (0o640, []),
        (0o604, ["read"]),
        (0o602, ["written"]),
        (0o666, ["read", "written"]),
    ):
        write(path, KEY, mode)
        warnings = broker(tmp_path, secret="file:key").warnings
        assert [
            word for word in ("read", "written") if any(f" {word} " in warning.text for warning in warnings)
        ] == words
        for warning in warnings:
            assert warning.warning
            assert warning.where == (*WHERE, "secret")
            assert KEY not in warning.text


@pytest.mark.parametrize(
    "value",
    [
        "", "hunter2", "1234567", "12345678\n", "1234\r\n5678", "12345678\x00", "1234\t5678", "12345678\x7f", " 12345678",
        "12345678 ", "1234 5678", "pässword1", "12345678\udcff", "x" * 20_000, "12345678\u2028",
    ],
)  # fmt: skip
def test_values_that_cannot_be_sent_or_scrubbed(value: str, tmp_path: Path) -> None:
    found = problems(tmp_path, {"PAY": value})
    assert [problem.where for problem in found] == [(*WHERE, "secret")]
    assert "PAY" in found[0].text
    assert not value.strip() or value.strip() not in found[0].text


def test_other_types_carry_more(tmp_path: Path) -> None:
    assert lease(broker(tmp_path, {"PAY": "pässword 1"}, type="basic", user="ü"))
    assert lease(broker(tmp_path, {"PAY": "pässword 1"}, type="query", name="key"))
    assert lease(broker(tmp_path, {"PAY": "Token 12345678"}, type="header", name="Authorization"))
    assert problems(tmp_path, {"PAY": "pässword 1"}, type="header", name="X-Key")
    for spec in ({"type": "basic"}, {"type": "query", "name": "key"}):  # bytes of the environment that are not UTF-8
        assert "UTF-8" in problems(tmp_path, {"PAY": "password\udcff"}, **spec)[0].text


@pytest.mark.parametrize(
    ("spec", "at"),
    [
        ({"secret": KEY}, "secret"),
        ({"secret": "env:"}, "secret"),
        ({"secret": "env:A B"}, "secret"),
        ({"secret": "env:1A"}, "secret"),
        ({"secret": "file:"}, "secret"),
        ({"secret": "file:a\nb"}, "secret"),
        ({"secret": "vault:x"}, "secret"),
        ({"secret": ""}, "secret"),
        ({"secret": "env:NOT_SET"}, "secret"),
        ({"secret": "file:missing"}, "secret"),
        ({"secret": "file:."}, "secret"),
        ({"user": "app"}, "user"),
        ({"type": "basic", "user": "a:b"}, "user"),
        ({"type": "basic", "user": "a\r\nb"}, "user"),
        ({"name": "X-Key"}, "name"),
        ({"type": "basic", "name": "X-Key"}, "name"),
        ({"type": "header"}, "name"),
        ({"type": "query"}, "name"),
        ({"type": "query", "name": "a\nb"}, "name"),
        ({"type": "header", "name": "X Key"}, "name"),
        ({"type": "header", "name": "X-Key:"}, "name"),
        ({"type": "header", "name": "X-Key\r\nHost"}, "name"),
        ({"type": "header", "name": "X-Kéy"}, "name"),
        ({"type": "header", "name": ":path"}, "name"),
        *(
            ({"type": "header", "name": name}, "name")
            for name in (
                "Host", "CONTENT-LENGTH", "Transfer-Encoding", "connection", "Keep-Alive", "TE", "Trailer", "Upgrade",
                "Proxy-Authorization", "Proxy-Connection", "Expect", "Funcgate-Token", "funcgate-call-id",
            )
        ),
    ],
)  # fmt: skip
def test_configurations_that_must_not_be_used(spec: dict[str, Any], at: str, tmp_path: Path) -> None:
    found = problems(tmp_path, **spec)
    assert [problem.where for problem in found] == [(*WHERE, at)]
    assert KEY not in found[0].text


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    specs = {
        "a": (CredentialSpec(type="bearer", secret="env:A"), ("targets", 0, "credential")),
        "b": (None, ("targets", 1, "credential")),
        "c": (CredentialSpec(type="header", secret="file:c", name="Host", user="x"), ("targets", 2, "credential")),
        "d": (CredentialSpec(type="query", secret="file:d", name="key"), ("targets", 3, "credential")),
    }
    with pytest.raises(Unusable) as caught:
        Broker(specs, base=tmp_path, environ={})
    assert [problem.where[1:] for problem in caught.value.problems] == [
        (0, "credential", "secret"), (2, "credential", "user"), (2, "credential", "name"), (3, "credential", "secret"),
    ]  # fmt: skip
