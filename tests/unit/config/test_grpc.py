"""gRPC targets in the configuration: where their methods are described, each slip at its place, what targets say themselves."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from funcgate.app import read_parts
from funcgate.app.building import build
from funcgate.config.problems import Faulty
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http.target import HttpPools
from support.ledger import PROTO, LedgerTarget, pool
from support.reflecting import Reflecting

TEXT = """\
listen: {calls: "127.0.0.1:0", console: "127.0.0.1:0"}
issuers:
  - {name: corp, issuer: "https://idp.example", audience: funcgate, jwks_file: ./jwks.json}
targets:
  - name: ledger
    protocol: grpc
    url: http://127.0.0.1:9
    functions:
      proto: [./ledger.proto]
policies:
  - name: p
    effect: allow
    functions: [ledger.bank.v1.Ledger/Transfer]
    principals: ["*"]
    when: args.amount <= 1000
"""
Write = Callable[..., Path]


@pytest.fixture
def there(write: Write) -> Path:
    path = write(text=TEXT)
    shutil.copy(PROTO, path.parent / "ledger.proto")
    return path


@pytest.fixture(scope="module")
def target() -> Iterator[LedgerTarget]:
    running = LedgerTarget().start()
    yield running
    running.stop()


def problems(path: Path) -> list[str]:
    with pytest.raises(Faulty) as caught:
        read_parts(path, need_secrets=False)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems if not problem.warning]


def test_a_sound_target(there: Path) -> None:
    parts = read_parts(there)
    assert "ledger.bank.v1.Ledger/Transfer" in parts.functions
    assert parts.functions["ledger.bank.v1.Ledger/Transfer"].summary == "Moves money."
    assert parts.loaded.files == (there, there.parent / "ledger.proto")
    assert parts.warnings == ()


def test_the_version_changes_with_the_proto_file(there: Path) -> None:
    first = read_parts(there).version
    proto = there.parent / "ledger.proto"
    proto.write_text(proto.read_text().replace("Moves money", "Moves all money"))
    assert read_parts(there).version != first


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("proto: [./ledger.proto]", "protos: [./ledger.proto]", "9:7: unknown key 'protos'; did you mean 'proto'?"),
        (
            "proto: [./ledger.proto]",
            "{}",
            "8:5: say where the functions are described: reflection, descriptors or proto",
        ),
        (
            "proto: [./ledger.proto]",
            "proto: [./ledger.proto]\n      reflection: true",
            "9:7: 'reflection' says already what the functions are; take one of them",
        ),
        ("proto: [./ledger.proto]", "proto: [./nothing.proto]", "9:15: ./nothing.proto: there is no such file"),
        ("proto: [./ledger.proto]", "descriptors: ./nothing.binpb", "9:20: ./nothing.binpb: No such file or directory"),
        (
            "proto: [./ledger.proto]",
            "methods: [bank.v1.Ledger.Transfer]",
            "9:17: 'bank.v1.Ledger.Transfer' is not package.Service/Method; did you mean 'bank.v1.Ledger/Transfer'?",
        ),
        ("127.0.0.1:9", "127.0.0.1:9/path", "7:10: 'url': a gRPC target has no path"),
        ("http://127", "grpc://127", "7:10: 'url': expected http://HOST[:PORT][/PATH] or https://…"),
        ("Ledger/Transfer]", "Ledger/Tranfer]", "13:17: 'ledger.bank.v1.Ledger/Tranfer' matches no function"),
        ("args.amount", "args.amont", "15:"),
        (
            "    functions:\n      proto",
            "    credential: {type: query, name: key, secret: env:KEY}\n    functions:\n      proto",
            "8:24: gRPC has no query; send the credential in a header",
        ),
        (
            "proto: [./ledger.proto]",
            "proto: [./ledger.proto]\n      max_depth: 101",
            "10:18: 'max_depth': expected 1 to 100",
        ),
        (
            "proto: [./ledger.proto]",
            "proto: [./ledger.proto]\n      max_values: 0",
            "10:19: 'max_values': expected 1 to",
        ),
        (
            "proto: [./ledger.proto]",
            "proto: [./ledger.proto]\n      credential: true",
            "10:19: 'credential' is for 'reflection'; it would do nothing",
        ),
        (
            "proto: [./ledger.proto]",
            "reflection: true\n      credential: true",
            "10:19: the target has no 'credential' that could go with the question",
        ),
        (
            "    functions:\n      proto: [./ledger.proto]",
            "    credential: {type: header, name: a!b, secret: env:KEY}\n"
            "    functions: {reflection: true, credential: true}",
            "9:47: 'credential': metadata have letters, digits, '-', '_' and '.' in their names, and no -bin at the end",
        ),
        (
            "proto: [./ledger.proto]",
            "methods: [a.B/C]\n      max_depth: 5",
            "10:18: 'max_depth': the messages are described",
        ),
        (
            "proto: [./ledger.proto]",
            "methods: [a.B/C]\n      unknown_fields: pass",
            "10:23: 'unknown_fields': the messages",
        ),
        (
            "proto: [./ledger.proto]",
            "proto: [./ledger.proto]\n      about: [{methods: [bank.v1.Ledger/Transfer, bank.v1.Legder/*], risk: high}]",
            "10:51: 'bank.v1.Legder/*' names no method",
        ),
    ],
    ids=lambda value: value[:30].strip() if isinstance(value, str) else "",
)
def test_a_problem_and_its_place(there: Path, old: str, new: str, said: str) -> None:
    assert old in TEXT
    there.write_text(TEXT.replace(old, new, 1))
    found = problems(there)
    assert any(problem.startswith(f"funcgate.yaml:{said}") for problem in found), found


def test_what_no_description_says_of_a_method(there: Path) -> None:
    """`risk` and `owner`, as of functions that are listed; the last that names a method counts."""
    about = """
        - {methods: ["*"], owner: bank}
        - {methods: [bank.v1.Ledger/*], risk: low, owner: ledger}
        - {methods: [bank.v1.Ledger/Transfer], risk: high, owner: payments}"""
    there.write_text(TEXT.replace("proto: [./ledger.proto]", f"proto: [./ledger.proto]\n      about:{about}"))
    found = read_parts(there).functions
    for method, said in {"Transfer": ("high", "payments"), "Chat": ("low", "ledger")}.items():
        function = found[f"ledger.bank.v1.Ledger/{method}"]
        assert (function.risk, function.owner) == said


def test_reflection_with_the_targets_credential(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a server that tells nobody else. A secret that is not there, or not right, is a problem without a word of it."""
    server = Reflecting(pool(), "bank.v1.Ledger", token="Bearer canary-4c1")
    credential = "    credential: {type: bearer, secret: env:LEDGER_KEY}\n    functions:\n      credential: true\n"
    there.write_text(
        TEXT.replace("proto: [./ledger.proto]", "reflection: true")
        .replace("http://127.0.0.1:9", f"http://127.0.0.1:{server.port}")
        .replace("    functions:\n", credential)
    )
    try:
        assert any("the environment variable LEDGER_KEY is not set" in problem for problem in problems(there))
        monkeypatch.setenv("LEDGER_KEY", "canary-4c2")
        (problem,) = problems(there)
        assert "UNAUTHENTICATED" in problem
        assert "canary" not in problem
        monkeypatch.setenv("LEDGER_KEY", "canary-4c1")
        assert "ledger.bank.v1.Ledger/Transfer" in read_parts(there).functions
        there.write_text(there.read_text().replace("      credential: true\n", ""))
        (problem,) = problems(there)
        assert "UNAUTHENTICATED" in problem
    finally:
        server.stop()


def test_what_the_description_marks_stays_out_of_the_record(there: Path) -> None:
    masker = read_parts(there).masking.masker("ledger.bank.v1.Ledger/Transfer")
    assert b"8264" not in masker.mask_args(b'{"pin":"8264","amount":1}')


def test_reflection_leaves_no_trace_when_it_is_only_looked_at(there: Path, target: LedgerTarget) -> None:
    there.write_text(
        TEXT.replace("proto: [./ledger.proto]", "reflection: true").replace("http://127.0.0.1:9", target.url)
    )
    parts = read_parts(there, need_secrets=False)
    assert "ledger.bank.v1.Ledger/Chat" in parts.functions
    assert not parts.loaded.data_dir.exists()
    assert read_parts(there, need_secrets=False).version == parts.version


def test_reflection_is_kept_by_a_gateway_that_serves(there: Path, target: LedgerTarget) -> None:
    there.write_text(
        TEXT.replace("proto: [./ledger.proto]", "reflection: true").replace("http://127.0.0.1:9", target.url)
    )
    parts = read_parts(there, serving=True)
    kept = parts.loaded.data_dir / "reflected" / "ledger.binpb"
    assert kept in parts.loaded.files
    assert kept.parent.stat().st_mode & 0o077 == parts.loaded.data_dir.stat().st_mode & 0o077 == 0
    there.write_text(there.read_text().replace(target.url, "http://127.0.0.1:9"))
    again = read_parts(there, need_secrets=False)
    assert again.functions.keys() == parts.functions.keys()
    (warning,) = again.warnings
    assert "the functions that it had before are used" in str(warning)
    kept.unlink()
    (problem,) = problems(there)
    assert problem.startswith("funcgate.yaml:9:19: server reflection of 127.0.0.1:9: ")


def test_nobody_is_asked_for_a_file_with_problems(there: Path) -> None:
    """A slip is told at once, without waiting for anybody."""
    there.write_text(TEXT.replace("proto: [./ledger.proto]", "reflection: true").replace("when:", "whem:"))
    assert [problem for problem in problems(there) if "server reflection" in problem] == []


def test_the_example(there: Path) -> None:
    examples = Path(__file__).parents[3] / "examples"
    parts = read_parts(examples / "grpc.yaml", need_secrets=False)
    assert sorted(parts.functions) == ["ledger.bank.v1.Ledger/Transfer", "ledger.bank.v1.Ledger/Watch"]
    assert parts.warnings == ()


def test_a_target_becomes_one_of_the_site(there: Path) -> None:
    built: Any = build(read_parts(there), HttpPools(Sweeper()))
    assert set(built.grpc.targets) == {"ledger"}
    assert built.site.targets == {}
    assert built.pools == {built.grpc.targets["ledger"].pool}
