"""`console.sign_in`: each slip is told at its place, and what is told to callers follows from it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.app import read_parts
from funcgate.config.problems import Faulty

SOUND = {
    "issuer": "corp", "client_id": "console", "public_url": "https://Console.Example:443/",
    "authorize_url": "https://idp.example/authorize", "token_url": "https://idp.example/token",
}  # fmt: skip
Write = Callable[..., Path]


def with_sign_in(write: Write, **changes: str | None) -> Path:
    settings = {name: value for name, value in {**SOUND, **changes}.items() if value is not None}
    lines = "".join(f"    {name}: {value}\n" for name, value in settings.items())
    path = write()
    path.write_text(path.read_text() + f"console:\n  sign_in:\n{lines}")
    return path


def test_it_is_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSOLE_SECRET", "s3cret")
    parts = read_parts(with_sign_in(write, client_secret="env:CONSOLE_SECRET", idle="10m"))
    assert parts.sign_in is not None
    assert (parts.sign_in.public_url, parts.sign_in.idle_s) == ("https://console.example", 600)
    assert parts.sign_in.client_secret.reveal() == "s3cret"
    assert "s3cret" not in repr(parts.sign_in)
    assert parts.approval_url == "https://console.example/approvals"


def test_what_is_configured_is_told_to_callers(write: Write) -> None:
    path = with_sign_in(write)
    path.write_text(path.read_text() + "approval_url: https://elsewhere.example/x\n")
    assert read_parts(path).approval_url == "https://elsewhere.example/x"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"issuer": "crop"}, "there is no issuer 'crop'; did you mean 'corp'?"),
        ({"client_id": "funcgate"}, "register the console as a client of its own"),
        ({"token_url": None}, "go together"),
        ({"token_url": None, "authorize_url": None}, "give `authorize_url` and `token_url`"),
        ({"public_url": "http://console.example"}, "must begin with https://"),
        ({"public_url": "https://console.example/path"}, "public_url has no path"),
        ({"public_url": "https://user@console.example"}, "must not hold a user name"),
        ({"token_url": "http://idp.example/token"}, "must begin with https://"),
        ({"client_secret": "hunter2"}, "must be env:NAME or file:PATH"),
        ({"scopes": "[profile]"}, "'openid' is one of them"),
        ({"scopes": "['openid groups']"}, "words without spaces"),
        ({"idle": "5s"}, "idle must be 1m to 7d"),
        ({"longest": "30d"}, "longest must be 1m to 7d"),
    ],
)
def test_a_slip_is_told(write: Write, changes: dict[str, str], complaint: str) -> None:
    with pytest.raises(Faulty) as faulty:
        read_parts(with_sign_in(write, **changes))
    (said,) = map(str, faulty.value.problems)
    assert complaint in said
    assert "hunter2" not in said


def with_mail(path: Path, **changes: str) -> Path:
    settings = {"name": "mail", "type": "email", "smtp": "smtp://mail.example", "sender": "f@corp.example", **changes}
    lines = "".join(f"    {name}: {value}\n" for name, value in settings.items())
    path.write_text(path.read_text() + f"channels:\n  - to: [bob@corp.example]\n{lines}")
    return path


def test_mail_is_read(write: Write) -> None:
    (mail,) = read_parts(with_mail(with_sign_in(write))).channels
    assert mail.spec.name == "mail"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"ca": "nowhere.pem"}, "ca cannot be read as PEM certificates (FileNotFoundError)"),
        ({"ca": "jwks.json"}, "ca cannot be read as PEM certificates (SSLError)"),
        ({"sender": '"a\\r\\nBcc: eve@evil.example"'}, "is no mail address"),
        ({"smtp": "http://mail.example"}, "expected smtp://HOST"),
        ({"user": "funcgate"}, "`user` and `password` go together"),
    ],
)
def test_a_slip_in_mail_is_told(write: Write, changes: dict[str, str], complaint: str) -> None:
    with pytest.raises(Faulty) as faulty:
        read_parts(with_mail(with_sign_in(write), **changes))
    (said,) = map(str, faulty.value.problems)
    assert complaint in said


def test_mail_needs_somewhere_to_lead_to(write: Write) -> None:
    with pytest.raises(Faulty) as faulty:
        read_parts(with_mail(write()))
    (said,) = map(str, faulty.value.problems)
    assert "mail needs `console.sign_in`" in said
