"""The whole file put together: what loads, and every problem of what does not, told once and at its place."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.app import read_parts
from funcgate.config.parts import hash_key
from funcgate.config.problems import Faulty

Write = Callable[..., Path]


def problems(path: Path) -> list[str]:
    """The problems, without the folder."""
    with pytest.raises(Faulty) as caught:
        read_parts(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems if not problem.warning]


def test_a_sound_configuration(write: Write) -> None:
    parts = read_parts(write())
    assert sorted(parts.functions) == ["payments.createTransfer", "payments.getTransfer"]
    assert parts.warnings == ()
    assert parts.limits.header_bytes == 32 << 10
    assert parts.limits.idle_timeout_s == 75.0
    assert parts.targets["payments"].limits.max_response == 16 << 20
    assert (parts.journal.sync, parts.journal.every_s) == ("always", 0.005)


def test_a_look_leaves_no_trace(write: Write) -> None:
    path = write()
    before = sorted(os.listdir(path.parent))
    read_parts(path)
    assert sorted(os.listdir(path.parent)) == before


def test_the_version_names_the_file_and_what_it_names(write: Write) -> None:
    path = write()
    first = read_parts(path).version
    assert read_parts(path).version == first
    assert len(first) == 64
    path.write_text(path.read_text() + "# a comment\n")
    second = read_parts(path).version
    assert second != first


def test_the_version_changes_with_the_openapi_file(write: Write, sound: str) -> None:
    start, end = sound.index("    functions:\n"), sound.index("policies:\n")
    text = sound[:start] + "    functions: {openapi: ./payments.openapi.yaml}\n" + sound[end:]
    path = write(("payments.createTransfer", "payments.listTransfers"), ("payments.get*", "payments.list*"),
                 ("    when: args.amount <= 10000\n", ""), text=text)  # fmt: skip
    first = read_parts(path)
    openapi = path.parent / "payments.openapi.yaml"
    assert first.loaded.files == (path, openapi)
    openapi.write_text(openapi.read_text().replace("title: t", "title: u"))
    assert read_parts(path).version != first.version


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("listen:", "lisen:", "1:1: unknown key 'lisen'; did you mean 'listen'?"),
        ("127.0.0.1:0", "localhost", "2:10: 'calls': expected HOST:PORT"),
        ("calls: 127.0.0.1:0", "calls: '::1:80'", "2:10: 'calls': expected HOST:PORT"),
        ("calls: 127.0.0.1:0", "calls: 127.0.0.1:99999", "2:10: 'calls': expected HOST:PORT"),
        ("    functions:\n", "    functoins:\n", "13:5: unknown key 'functoins'; did you mean 'functions'?"),
        ("effect: allow", "effect: alow", "20:13: 'effect': 'alow' is not known; did you mean 'allow'?"),
        ("url: http://127.0.0.1:9/v1", "url: ftp://x", "12:10: 'url': expected http://HOST"),
        ("url: http://127.0.0.1:9/v1", "url: http://u:p@x", "12:10: 'url': a user or password does not belong"),
        ("url: http://127.0.0.1:9/v1", "url: http://x/?a=1", "12:10: 'url': a target's URL has no query"),
        ("url: http://127.0.0.1:9/v1", "url: 'http://[::1'", "12:10: 'url': this is not a URL"),
        ("- name: payments", "- name: pay.ments", "10:11: a target's name has letters"),
        ("protocol: http", "protocol: grpc", "13:5: 'functions': expected a mapping, found a list"),
        ("protocol: http", "protocol: mcp", "11:15: protocol mcp is not supported yet"),
        ("protocol: http", "protocol: htpp", "11:15: 'protocol': 'htpp' is not known; did you mean 'http'?"),
        ("    url: http", "    limits: {timeout: 5x}\n    url: http", "12:23: 'timeout': '5x' is not a time"),
        ("    url: http", "    limits: {max_request: -1}\n    url: http", "12:27: 'max_request': this is out of range"),
        ("    url: http", "    hosts: ['a b']\n    url: http", "12:13: 'a b' is not a host name"),
        ("    url: http", "    hosts: [a.x, A.x]\n    url: http", "12:18: 'A.x' is given to two targets"),
        ("    url: http", "    tls: {ca: x.pem}\n    url: http", "12:5: the target's url is not https"),
        ("    url: http", "    forward_headers: [TE]\n    url: http", "12:23: 'TE' belongs to one connection"),
        ("  console: 127.0.0.1:0", "  console: 127.0.0.1:0\n  tls: {cert: x.pem, key: x.key}", "4:15: the file is not"),
        ("issuers:", "journal: {sync: never}\nissuers:", "4:17: 'sync': 'never' is not known"),
        ("issuers:", "journal: {segment: 1KiB}\nissuers:", "4:20: 'segment': this is out of range"),
        ("issuers:", "roles: {admin: ['platform']}\nissuers:", "4:17: 'platform' is not group:NAME"),
    ],
)
def test_a_problem_and_its_place(write: Write, old: str, new: str, said: str) -> None:
    path = write()
    path.write_text(path.read_text().replace(old, new, 1))
    (problem,) = problems(path)
    assert problem.startswith(f"funcgate.yaml:{said}")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("args.amount", "args.amout", ("funcgate.yaml:23:", "amout", "amount")),
        ("payments.createTransfer]", "payments.createTransfr]", ("funcgate.yaml:21:", "createTransfr")),
        ("detect: [email]", "detect: [emial]", ("funcgate.yaml:30:", "emial", "email")),
        ("./jwks.json", "./jwsk.json", ("funcgate.yaml:8:", "jwsk.json")),
        ("POST /transfers/{account}", "PSOT /transfers/{account}", ("funcgate.yaml:15:",)),
    ],
)
def test_a_part_s_problem_is_placed(write: Write, old: str, new: str, words: tuple[str, ...]) -> None:
    found = problems(write((old, new)))
    assert any(all(word in problem for word in words) for problem in found), found


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("issuers", "there are no issuers: nobody could prove who they are"),
        ("targets", "there are no targets: there would be nothing to call"),
        ("policies", "there are no policies: every call would be denied"),
    ],
)
def test_what_would_do_nothing_is_refused(write: Write, sound: str, section: str, said: str) -> None:
    sections = [f"{part}" for part in sound.replace("\n  ", "\n\0 ").split("\n") if part]
    kept: list[str] = []
    dropping = False
    for line in sections:
        if not line.startswith("\0"):
            dropping = line.startswith(section)
        if not dropping:
            kept.append(line.replace("\0", " "))
    found = problems(write(text="\n".join(kept) + "\n"))
    assert any(said in problem for problem in found), found


def test_policies_that_only_deny_are_refused(write: Write) -> None:
    found = problems(write(("effect: allow", "effect: deny")))
    assert [problem.split(": ", 1)[1] for problem in found] == ["no policy allows anything: every call would be denied"]


def test_all_problems_at_once_in_the_order_of_the_file(write: Write) -> None:
    path = write(
        ("calls: 127.0.0.1:0", "calls: nowhere"),
        ("audience: funcgate", "audiense: funcgate"),
        ("http://127.0.0.1:9/v1", "ftp://127.0.0.1:9/v1"),
        ("effect: allow\n    functions: [payments.createTransfer]", "effect: alow\n    functions: [payments.createTransfer]"),
        ("detect: [email]", "detect: [emial]"),
        ("masking:", "maksing:"),
    )  # fmt: skip
    found = problems(path)
    lines = [int(problem.split(":")[1]) for problem in found]
    assert lines == sorted(lines)
    for word in ("nowhere" not in " ".join(found), "audiense", "'url'", "alow", "maksing"):
        assert word is True or any(str(word) in problem for problem in found), found


def test_one_slip_in_a_target_is_told_once(write: Write) -> None:
    """The policies and masking rules that name its functions are not blamed for it."""
    found = problems(write(("protocol: http", "protocol: grpc")))
    assert len(found) == 1


def test_warnings_do_not_stop_it(write: Write) -> None:
    second = "  - {name: other, protocol: http, url: 'http://x', functions: [{name: a, http: 'GET /${A}'}]}\npolicies:"
    path = write(("policies:", second.replace("/${A}", "/a")), ("calls: 127.0.0.1:0", "calls: 0.0.0.0:0"))
    parts = read_parts(path)
    assert [str(warning).replace(f"{path.parent}/", "") for warning in parts.warnings] == [
        "funcgate.yaml:2:10: warning: tokens would arrive in clear; add 'tls' unless a proxy does it",
        "funcgate.yaml:18:12: warning: no policy allows any function of 'other': every call of it is denied",
    ]


def test_secrets_are_needed_to_serve_and_not_to_look(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(("    url: http", "    credential: {type: bearer, secret: 'env:NOT_SET_HERE'}\n    url: http"))
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    (problem,) = problems(path)
    assert problem.startswith("funcgate.yaml:12:")
    assert "NOT_SET_HERE" in problem
    assert read_parts(path, need_secrets=False).functions


@pytest.mark.parametrize(
    ("credential", "said"),
    [
        ("{type: bearer, secret: hunter2}", "secret must be env:NAME or file:PATH, never the secret itself"),
        ("{type: header, secret: 'env:NOT_SET_HERE'}", "type header needs the name of the header"),
        ("{type: basic, secret: 'file:./nowhere', user: 'a:b'}", "user must hold no colon"),
    ],
)
def test_a_credential_is_judged_where_its_secret_is_not(write: Write, credential: str, said: str) -> None:
    path = write(("    url: http", f"    credential: {credential}\n    url: http"))
    with pytest.raises(Faulty) as caught:
        read_parts(path, need_secrets=False)
    (problem,) = caught.value.problems
    assert problem.line == 12
    assert said in problem.text


def test_a_secret_in_the_wrong_place_is_not_shown(write: Write) -> None:
    path = write(("    url: http", "    credential: {type: bearer, secret: hunter2-is-my-secret}\n    url: http"))
    found = problems(path)
    assert found
    assert "hunter2" not in " ".join(found)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Faulty, match=r"cannot be read: No such file.*--config FILE"):
        read_parts(tmp_path / "funcgate.yaml")


def test_the_key_for_hashes_is_made_once_and_kept_private(tmp_path: Path) -> None:
    key = hash_key(tmp_path, create=True)
    assert len(key) == 32
    assert hash_key(tmp_path, create=True) == key
    assert hash_key(tmp_path, create=False) == key
    assert (tmp_path / "mask.key").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["mask.key"]
    (tmp_path / "mask.key").write_bytes(key[:5])
    with pytest.raises(OSError, match="cut short"):
        hash_key(tmp_path, create=False)
