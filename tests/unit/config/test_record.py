"""What the file says of the record: settings as the keeper gets them, and every slip at its place."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from funcgate.app import read_parts
from funcgate.app.building import folders_of
from funcgate.config.problems import Faulty
from funcgate.config.secrets import secret_variables
from funcgate.recording.keeper.settings import (
    IndexSettings,
    KeepRule,
    OtlpSettings,
    ProofSettings,
    SyslogSettings,
    WebhookSettings,
)

Write = Callable[..., Path]
KEY = bytes(range(32))
_COPIES = "1:18: expected file:PATH, s3://BUCKET/PREFIX or https://HOST/PATH"
ENCRYPTED = "journal: {encryption: {key: env:RECORD_KEY}}\n"
KEEP = ENCRYPTED + "retention: ["
SYSLOG = "forward: [{name: a, type: syslog, address: "


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORD_KEY", base64.b64encode(KEY).decode())
    monkeypatch.setenv("HOOK_SECRET", "hook-canary-4711")
    monkeypatch.setenv("BROKEN", "a\nb")
    monkeypatch.delenv("NOT_SET_HERE", raising=False)


def told(path: Path) -> list[str]:
    """The problems, without the folder and the file's name."""
    with pytest.raises(Faulty) as caught:
        read_parts(path)
    prefix = f"{path.parent}/"
    return [str(one).replace(f"{path}:", "").replace(prefix, "") for one in caught.value.problems if not one.warning]


def test_nothing_said(write: Write) -> None:
    parts = read_parts(write())
    keeper = parts.keeper
    assert (keeper.proof, keeper.index) == (ProofSettings(), IndexSettings())
    assert (keeper.retention, keeper.forward, keeper.encryption, keeper.sync) == ((), (), None, "always")
    assert keeper.data_dir == str(parts.loaded.data_dir)
    assert keeper.keep_free_bytes == parts.journal.keep_free_bytes == 64 << 20
    assert (parts.journal.inline_bytes, parts.journal.record_bytes) == (64 << 10, 32 << 20)
    assert parts.journal.reserve_bytes == 8 << 20


def test_a_reserve_of_another_size(write: Write, sound: str) -> None:
    assert read_parts(write(text="journal: {reserve: 0}\n" + sound)).journal.reserve_bytes == 0
    assert read_parts(write(text="journal: {reserve: 64MiB}\n" + sound)).journal.reserve_bytes == 64 << 20
    [problem] = told(write(text="journal: {reserve: 65MiB}\n" + sound))
    assert "'reserve': at most 64MiB" in problem


def test_all_of_it(write: Write, tmp_path: Path, sound: str) -> None:
    (tmp_path / "signing.pem").write_text("read by who signs")
    text = (
        "journal: {sync: interval, every: 20ms, inline: 1KiB, record: 2MiB, encryption: {key: env:RECORD_KEY}}\n"
        "proof:\n  origin: acme.example/funcgate\n  every: 2s\n  key: file:signing.pem\n"
        "  copies: [file:copies, s3://bucket/a/b, https://x.example/c, 'http://127.0.0.1:9/c']\n"
        "index: {text: false}\n"
        "retention:\n  - {targets: [payments], content: 30d, metadata: 365d, decisions: 7y}\n"
        "  - {targets: ['*'], content: 1d, decisions: 2d}\n"
        "forward:\n  - {name: siem, type: syslog, address: 'tls://[::1]:6514', format: cef}\n"
        "  - {name: hook, type: webhook, url: 'https://x.example/h', secret: env:HOOK_SECRET}\n"
        "  - {name: otel, type: otlp, url: 'https://x.example/v1/logs', headers: {X-Key: env:HOOK_SECRET}}\n"
    )
    keeper = read_parts(write(text=text + sound)).keeper
    day = 86400.0
    copies = ((tmp_path / "copies").as_uri(), "s3://bucket/a/b", "https://x.example/c", "http://127.0.0.1:9/c")
    assert keeper.sync == "interval 20ms"
    assert keeper.proof == ProofSettings(
        origin="acme.example/funcgate", every_s=2.0, key=str(tmp_path / "signing.pem"), copies=copies
    )
    assert keeper.index == IndexSettings(enabled=True, text=False)
    assert keeper.retention == (
        KeepRule(targets=("payments",), content_s=30 * day, metadata_s=365 * day, decisions_s=7 * 365 * day),
        KeepRule(targets=("*",), content_s=day, metadata_s=2 * day, decisions_s=2 * day),
    )
    siem, hook, otel = keeper.forward
    assert siem == SyslogSettings(name="siem", host="::1", port=6514, tls=True, format="cef")
    assert isinstance(hook, WebhookSettings)
    assert isinstance(otel, OtlpSettings)
    assert hook.secret.reveal() == otel.headers["X-Key"].reveal() == "hook-canary-4711"
    assert keeper.encryption is not None
    assert keeper.encryption.reveal() == KEY.hex()
    assert "canary" not in repr(keeper)
    assert KEY.hex() not in repr(keeper)


@pytest.mark.parametrize(
    "written", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode()]
)
def test_the_key_in_a_file(write: Write, sound: str, tmp_path: Path, written: str) -> None:
    (tmp_path / "record.key").write_text(written + "\n")
    parts = read_parts(write(text="journal: {encryption: {key: file:record.key}}\n" + sound))
    assert parts.journal.encryption is not None
    assert parts.journal.encryption.reveal() == KEY.hex()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("journal: {encryption: {key: env:NOT_SET_HERE}}", "1:29: the environment variable NOT_SET_HERE is not set"),
        ("journal: {encryption: {key: env:HOOK_SECRET}}", "1:29: the key must be 32 bytes, in base64 or hex"),
        ("journal: {encryption: {key: canary}}", "1:29: this must be env:NAME or file:PATH, never the secret itself"),
        ("journal: {encryption: {key: file:gone}}", "1:29: the secret file gone cannot be read (No such file"),
        ("journal: {encryption: {kye: env:RECORD_KEY}}", "1:24: unknown key 'kye'; did you mean 'key'?"),
        ("journal: {record: 0}", "1:19: 'record': this is out of range"),
        ("proof: {origin: 'a b'}", "1:17: an origin is a name such as acme.example/funcgate"),
        ("proof: {origin: a+b}", "1:17: an origin is a name"),
        ("proof: {every: 1ms}", "1:16: 'every': a checkpoint more often"),
        ("proof: {key: env:HOOK_SECRET}", "1:14: this must be file:PATH, an Ed25519 key"),
        ("proof: {key: file:gone.pem}", "1:14: there is no file gone.pem; make one (openssl genpkey"),
        ("proof: {copies: [ftp://x/y]}", _COPIES),
        ("proof: {copies: [htps://x/y]}", _COPIES + "; did you mean 'https'?"),
        ("proof: {copies: [s3:bucket]}", "1:18: expected file:PATH"),
        ("proof: {copies: ['file:']}", "1:18: expected file:PATH"),
        ("proof: {copies: [http://x.example/y]}", "1:18: http:// is only for a loopback address; use https://"),
        ("proof: {copies: ['https://u:p@x.example/y']}", "1:18: a user or password does not belong in a URL"),
        ("index: {enabled: yes}", "1:18: 'enabled': expected true or false, found text"),
        ("index: {txet: false}", "1:9: unknown key 'txet'; did you mean 'text'?"),
        (KEEP + "{targets: [paymnts], content: 1d}]", "2:24: there is no target 'paymnts'; did you mean 'payments'?"),
        (KEEP + "{targets: [], content: 1d}]", "2:14: a rule without targets does nothing"),
        (KEEP + "{targets: ['*']}]", "2:13: the rule says nothing: give content"),
        (KEEP + "{targets: ['*'], where: {metadata: /x}}]", "2:48: metadata of one target cannot lie elsewhere: the lines"),
        (KEEP + "{targets: ['*'], where: {decisions: /x}}]", "2:49: decisions of one target cannot lie elsewhere"),
        (KEEP + "{targets: ['*'], where: {}}]", "2:30: 'where' says nothing"),
        (KEEP + "{targets: ['*'], where: {content: ''}}]", "2:47: 'content': expected the path of a folder"),
        (KEEP + "{targets: ['*'], where: s3://bucket/x}]", "2:37: 'where': expected the path of a folder"),
        (KEEP + "{targets: ['*'], where: .}]", "2:37: the folder must not be in data_dir, nor data_dir in it"),
        (KEEP + "{targets: ['*'], where: ./funcgate-data/x/..}]", "2:37: the folder must not be in data_dir"),
        (KEEP + "{targets: ['*'], where: ./funcgate-data/eu}]", "2:37: the folder must not be in data_dir"),
        (KEEP + "{targets: ['*'], content: 0}]", "2:39: 'content': this is out of range"),
        (KEEP + "{targets: ['*'], content: 5x}]", "2:39: 'content': '5x' is not a time"),
        (KEEP + "{targets: ['*'], content: 9d, metadata: 8d}]", "2:39: 'content' is kept longer than 'metadata'"),
        (KEEP + "{targets: ['*'], content: 9d, decisions: 8d}]", "2:39: 'content' is kept longer than 'decisions'"),
        (KEEP + "{targets: ['*'], metadata: 9d, decisions: 8d}]", "2:40: 'metadata' is kept longer than 'decisions'"),
        (KEEP + "{targets: ['*'], content: 1d}, {targets: [payments], content: 2d}]",
         "2:55: an earlier rule is for 'payments' already"),
        ("retention: [{targets: ['*'], content: 1d}]", "1:39: content expires by deleting the key that it is encrypted with"),
        ("retention: [{targets: ['*'], metadata: 1d}]", "1:40: metadata expires by deleting the key"),
        ("forward: [{name: a, type: sislog, address: 'tls://x:1'}]",
         "1:27: 'type': 'sislog' is not known; did you mean 'syslog'?"),
        (SYSLOG + "'udp://x:1'}]", "1:44: 'address': expected tls://HOST:PORT or tcp://HOST:PORT"),
        (SYSLOG + "'tls://x'}]", "1:44: 'address': expected HOST:PORT"),
        (SYSLOG + "'tls://x:1', ca: gone.pem}]", "1:61: the file cannot be used"),
        (SYSLOG + "'tcp://127.0.0.1:1', ca: gone.pem}]", "1:69: the address is not tls://"),
        ("forward: [{name: 'a b', type: syslog, address: 'tls://x:1'}]", "1:18: a name has letters"),
        ("forward: [{name: a, type: webhook, url: 'https://x/', secret: canary}]", "1:63: this must be env:NAME or file:PATH"),
        ("forward: [{name: a, type: webhook, url: 'http://x/', secret: env:HOOK_SECRET}]",
         "1:41: http:// is only for a loopback"),
        ("forward: [{name: a, type: webhook, url: 'https://x/'}]", "1:11: the key 'secret' is missing"),
        ("forward: [{name: a, type: otlp, url: 'https://x/', headers: {A b: env:HOOK_SECRET}}]",
         "1:67: 'A b' is not a field name"),
        ("forward: [{name: a, type: otlp, url: 'https://x/', headers: {A: env:BROKEN}}]", "1:65: the secret holds characters"),
    ],
)  # fmt: skip
def test_a_slip_and_its_place(write: Write, sound: str, text: str, said: str) -> None:
    (problem,) = told(write(text=f"{text}\n{sound}"))
    assert problem.startswith(said), problem
    assert "canary" not in problem


def test_two_destinations_of_one_name(write: Write, sound: str) -> None:
    one = "{name: a, type: syslog, address: 'tls://x:1'}"
    (problem,) = told(write(text=f"forward: [{one}, {one}]\n{sound}"))
    assert "there are two destinations named 'a'" in problem


def test_decisions_expire_without_encryption(write: Write, sound: str) -> None:
    keeper = read_parts(write(text="retention: [{targets: [payments], decisions: 1y}]\n" + sound)).keeper
    year = 365 * 86400.0
    assert keeper.retention == (KeepRule(targets=("payments",), content_s=year, metadata_s=year, decisions_s=year),)


def test_where_content_lies(write: Write, sound: str, tmp_path: Path) -> None:
    (tmp_path / "east").mkdir()
    for where in ("./east", "{content: ./east}", f"{tmp_path}/west/../east"):
        parts = read_parts(write(text=f"retention: [{{targets: [payments], where: {where}}}]\n" + sound))
        (rule,) = parts.keeper.retention
        assert rule == KeepRule(targets=("payments",), folder=str(tmp_path / "east"))
        assert folders_of(parts) == {"payments": tmp_path / "east"}
        assert parts.warnings == ()
    parts = read_parts(write(text="retention: [{targets: ['*'], where: ./gone}]\n" + sound))
    (warning,) = parts.warnings
    assert "there is no folder" in warning.text
    assert "funcgate makes none there" in warning.text
    assert (parts.journal.elsewhere_timeout_s, parts.journal.elsewhere_waiting_bytes) == (10.0, 64 << 20)
    text = "journal: {elsewhere_timeout: 2s, elsewhere_waiting: 1MiB}\n"
    parts = read_parts(write(text=text + sound))
    assert (parts.journal.elsewhere_timeout_s, parts.journal.elsewhere_waiting_bytes) == (2.0, 1 << 20)


def test_a_look_without_the_secrets(write: Write, sound: str) -> None:
    text = "journal: {encryption: {key: env:NOT_SET_HERE}}\nretention: [{targets: ['*'], content: 1d}]\n"
    parts = read_parts(write(text=text + sound), need_secrets=False)
    assert parts.keeper.retention[0].content_s == 86400.0


def test_a_broken_target_is_told_once(write: Write, sound: str) -> None:
    text = ENCRYPTED + "retention: [{targets: [payments], content: 1d}]\n" + sound
    assert len(told(write(("protocol: http", "protocol: grpc"), text=text))) == 1


def test_a_clear_wire_and_a_readable_key_are_warnings(write: Write, sound: str, tmp_path: Path) -> None:
    key = tmp_path / "record.key"
    key.write_text(KEY.hex())
    key.chmod(0o644)
    text = (
        "journal: {encryption: {key: file:record.key}}\n"
        "forward: [{name: a, type: syslog, address: 'tcp://siem.example:514'}]\n"
    )
    warnings = [warning.text for warning in read_parts(write(text=text + sound)).warnings]
    assert any("take the permission away" in text for text in warnings)
    assert any("the record goes in clear" in text for text in warnings)


def test_the_variables_that_hold_secrets(write: Write, sound: str) -> None:
    text = (
        ENCRYPTED + "forward:\n  - {name: hook, type: webhook, url: 'https://x.example/h', secret: env:HOOK_SECRET}\n"
        "  - {name: otel, type: otlp, url: 'https://x.example/', headers: {X-Key: env:OTEL, X-B: env:AWS_SECRET_ACCESS_KEY}}\n"
    )
    credential = "    credential: {type: bearer, secret: env:PAY}\n    url: http"
    parts: Any = read_parts(write(("    url: http", credential), text=text + sound), need_secrets=False)
    assert secret_variables(parts.loaded.config) == {"RECORD_KEY", "HOOK_SECRET", "OTEL", "PAY"}
