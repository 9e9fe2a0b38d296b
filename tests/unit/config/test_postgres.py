"""What the file says of databases: addresses, credentials, and who may begin a session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.app import read_parts
from funcgate.config.problems import Faulty
from funcgate.core.budget import Budget

Write = Callable[..., Path]
TEXT = """\
listen:
  calls: 127.0.0.1:0
  console: 127.0.0.1:0
  postgres: 127.0.0.1:0
issuers:
  - {name: corp, issuer: https://idp.example, audience: funcgate, jwks_file: ./jwks.json}
targets:
  - name: shop
    protocol: postgres
    url: postgres://127.0.0.1:5432/shop
    credential: {type: password, user: owner, secret: env:SHOP_PASSWORD}
policies:
  - {name: readers, effect: allow, functions: [shop.select], principals: ["group:agents"]}
  - {name: never, effect: deny, functions: [shop.delete], principals: ["group:agents"]}
masking:
  - {functions: [shop.select], fields: [people.ssn]}
"""


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "owner-9c41d7aa0be2")


def test_a_sound_target(write: Write) -> None:
    parts = read_parts(write(text=TEXT))
    assert parts.warnings == ()
    assert str(parts.postgres) == "127.0.0.1:0"
    assert {"shop.select", "shop.transaction", "shop:connect", "shop:describe", "shop:notification"} <= set(
        parts.functions
    )


def test_whoever_may_call_something_may_begin_a_session_and_nobody_else(write: Write) -> None:
    """A policy for statements says so; one that only denies does not."""
    text = TEXT + "  - {functions: [shop.update], detect: all}\n"
    policies = {policy.name: policy for policy in read_parts(write(text=text)).policies.policies}
    session = policies["readers (a session of shop)"]
    assert (session.effect, session.selectors) == ("allow", frozenset({"group:agents"}))
    assert session.functions == frozenset(
        {"shop:connect", "shop:describe", "shop:notification", "shop.transaction", "shop.cursor", "shop.deallocate"}
    )
    end = policies["readers (the end of a session of shop)"]
    assert (end.functions, end.when) == (
        {"shop.set", "shop.listen"},
        'args.command in ["RESET", "DISCARD", "UNLISTEN"]',
    )
    assert not any(name.startswith("never (") for name in policies)
    assert policies["guarded (shop)"].effect == "deny"


def test_what_is_hidden_in_rows_is_hidden_in_what_comes_unasked(write: Write) -> None:
    masking = read_parts(write(text=TEXT)).masking
    assert masking.columns("shop:notification")
    assert masking.columns("shop.select").label([("public", "people", "ssn")])
    assert not masking.columns("shop.update")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("  postgres: 127.0.0.1:0\n", "", "say where callers connect: 'postgres'"),
        ("  postgres: 127.0.0.1:0", "  postgres: 0.0.0.0:0", "add 'tls', or listen on a loopback address"),
        ("postgres://127.0.0.1:5432/shop", "http://127.0.0.1/shop", "expected postgres://HOST[:PORT]/DATABASE"),
        ("postgres://127.0.0.1:5432/shop", "postgres://127.0.0.1:5432", "expected postgres://HOST[:PORT]/DATABASE"),
        ("postgres://127.0.0.1", "postgres://owner:word@127.0.0.1", "do not belong here"),
        ("5432/shop", "5432/shop?sslmode=disable", "do not belong here"),
        ("type: password, user: owner", "type: basic, user: owner", "a credential of the type password"),
        ("user: owner, ", "", "type password needs the user to log in as"),
        ("functions: [shop.select], principals", "functions: [shop.selekt], principals", "shop.selekt"),
    ],
)
def test_slips(write: Write, old: str, new: str, complaint: str) -> None:
    with pytest.raises(Faulty) as caught:
        read_parts(write((old, new), text=TEXT))
    assert [complaint in str(problem) for problem in caught.value.problems].count(True) == 1


def test_a_database_elsewhere_without_tls_is_warned_of(write: Write) -> None:
    (warning,) = read_parts(write(("127.0.0.1:5432", "db.example:5432"), text=TEXT)).warnings
    assert "would be spoken to in clear" in warning.text


def test_a_password_is_no_credential_for_http(write: Write) -> None:
    slip = "    url: http://127.0.0.1:9/v1\n    credential: {type: password, user: a, secret: env:SHOP_PASSWORD}\n"
    with pytest.raises(Faulty, match="type password is for databases"):
        read_parts(write(("    url: http://127.0.0.1:9/v1\n", slip)))


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ("{principals: ['*']}", "limits nothing"), ("{principals: [], rows: 5}", "at least one"),
        ("{principals: [analysts], rows: 5}", "names no principal"), ("{principals: ['*'], rows: 0}", "out of range"),
        ("{principals: ['*'], rows: 5, per: soon}", "per"), ("{principals: ['*'], bytes: 5 elephants}", "bytes"),
    ],
)  # fmt: skip
def test_budgets_that_would_do_nothing(write: Write, budget: str, says: str) -> None:
    text = TEXT.replace("secret: env:SHOP_PASSWORD}", f"secret: env:SHOP_PASSWORD}}\n    budgets: [{budget}]")
    with pytest.raises(Faulty, match=says):
        read_parts(write(text=text))


def test_budgets_and_rows_are_read(write: Write) -> None:
    more = "limits: {max_rows: 500}\n    budgets: [{principals: ['group:a'], rows: 10, bytes: 2KiB, per: 5m}]"
    text = TEXT.replace("secret: env:SHOP_PASSWORD}", f"secret: env:SHOP_PASSWORD}}\n    {more}")
    target = read_parts(write(text=text)).targets["shop"]
    assert target.limits.max_rows == 500
    assert target.budgets == (Budget(frozenset({"group:a"}), 10, 2048, 300.0),)


@pytest.mark.parametrize(
    ("oauth", "says"),
    [
        ("{users: []}", "'users': nobody is asked"), ('{scope: "a  b"}', "'scope': words"),
        ("{issuer: nobody}", "'issuer': there is no issuer of that name"), ("{user: x}", "did you mean"),
    ],
)  # fmt: skip
def test_oauth_that_would_do_nothing(write: Write, oauth: str, says: str) -> None:
    with pytest.raises(Faulty) as caught:
        read_parts(write(text=TEXT.replace("    credential:", f"    oauth: {oauth}\n    credential:")))
    assert says in str(caught.value)


def test_oauth_is_read(write: Write) -> None:
    text = TEXT.replace("    credential:", '    oauth: {scope: "openid shop"}\n    credential:')
    oauth = read_parts(write(text=text)).targets["shop"].oauth
    assert oauth is not None
    where = "https://idp.example/.well-known/openid-configuration"
    assert (oauth.users, oauth.openid_configuration, oauth.scope) == (frozenset({"oauth"}), where, "openid shop")
    plain = read_parts(write(text=text.replace("issuer: https:", "issuer: http:")))
    assert any("no https:// address" in problem.text for problem in plain.warnings)


@pytest.mark.parametrize(
    ("role", "says"),
    [
        ("{}", "nobody has a role here"), ("{claim: r}", "'among'"), ("{groups: {a: x}, among: [y]}", "would do nothing"),
        ("{groups: {a: none}}", "not the name of a role"), ("{otherwise: ''}", "not the name of a role"),
        ("{groups: {a: x}}\n    preset: none", "needs 'preset: guarded'"),
    ],
)  # fmt: skip
def test_roles_that_would_do_nothing_or_too_much(write: Write, role: str, says: str) -> None:
    with pytest.raises(Faulty) as caught:
        read_parts(write(text=TEXT.replace("    credential:", f"    role: {role}\n    credential:")))
    assert says in str(caught.value)
