"""Each detector on hits and near misses, in the middle of a sentence and alone."""

import pytest

from funcgate.masking.actions import replacement
from funcgate.masking.detectors import DETECTORS
from funcgate.masking.fields import NO_FIELDS
from funcgate.masking.rules import Rules

KEY40 = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq9\nabc+/=\n-----END RSA PRIVATE KEY-----"

HITS: dict[str, list[str]] = {
    "credit_card": [
        "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "3782 822463 10005",
        "6011000990139424", "30569309025904", "4222222222222", "630427373398", "060426070011", "180016070420458",
        "4131034282458809939", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "4111\u00a01111\u00a01111\u00a01111",
        "5555\u20115555\u20115555\u20114444",
    ],
    "us_ssn": ["123-45-6789", "123 45 6789", "899-99-9999", "001-01-0001"],
    "email": ["ada@example.com", "a.b+c_d@x-y.co.uk", "o'brien@example.org", "ADA@EXAMPLE.COM", "jos\u00e9@ex\u00e4mple.de"],
    "iban": [
        "GB82WEST12345698765432", "GB82 WEST 1234 5698 7654 32", "gb42nawi04454264788619", "DE89370400440532013000",
        "NO9386011117947", "FR14 2004 1010 0505 0001 3M02 606", "MT84MALT011000012345MTLCAST001S",
    ],
    "ip_address": [
        "192.168.10.21", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::1", "fe80::1ff:fe23:4567:890a",
        "6e40:4041:c617:e898:c11:40d2:c669:2eb4", "::ffff:192.0.2.128", "64:ff9b::192.0.2.33",
        "64:ff9b:1:2:3:4:192.0.2.33",
    ],
    "phone_number": [
        "+1-202-555-0143", "+1 (202) 555-0143", "(202) 555-0143", "202-555-0143", "202.555.0143", "+447700900123",
        "+44 7700 900123", "+41 (0)96 471 07 95", "001-518-640-0854", "07700 063 966", "03.93.92.16.85", "0341 8387176",
        "345-899-3560x4587", "(579)888-3058", "+49 30 901820",
    ],
    "jwt": [
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
        "eyJhbGciOiJSU0EtT0FFUCJ9.OKOawDo13gRp.48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodetZdvT",
    ],
    "aws_access_key": ["AKIAIOSFODNN7EXAMPLE", "ASIAY34FZKBOKMUTVV7A"],
    "aws_secret": [KEY40],
    "github_token": ["ghp_" + "a1B2" * 9, "ghs_" + "Z9y8" * 9, "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwx"],
    "slack_token": [
        "xoxb-123456789012-abcdefghijkl", "xapp-1-A0123456789-abc", "hooks.slack.com/services/T00000000/B00000000/XXXXXXXX",
    ],
    "google_api_key": ["AIza" + "SyD-_9" * 5 + "abcde", "GOCSPX-" + "a1b2c3d" * 4],
    "stripe_key": ["sk_live_4eC39HqLyjWDarjtT1zdp7dc", "rk_test_4eC39HqLyjWDarjtT1zd", "whsec_" + "a1B2c3D4" * 4],
    "openai_key": ["sk-proj-Abc123Def456Ghi789Jkl012", "sk-ant-api03-AbCdEf123456789", "sk-" + "aB3" * 16],
    "pem_private_key": [PEM, PEM.replace("RSA ", ""), "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIr"],
}  # fmt: skip

MISSES: dict[str, list[str]] = {
    "credit_card": [
        "4111111111111112", "1730800000000", "1730800000000000000", "x4111111111111111", "4111111111111111f",
        "0.4111111111111111", "411111111111", "9111111111111111", "4111  1111  1111  1111", "00000000000000000000",
        "41111111111111111111111",
    ],
    "us_ssn": [
        "000-45-6789", "666-45-6789", "900-45-6789", "123-00-6789", "123-45-0000", "123456789", "123-45 6789",
        "1123-45-6789", "123-45-67890", "a123-45-6789", "2021-123-45-6789",
    ],
    "email": ["ada@localhost", "@example.com", "ada @example.com", "pkg@1.2.3", "ada@", "a@b.c"],
    "iban": [
        "GB83WEST12345698765432", "ZZ82WEST12345698765432", "GB82WEST1234569876543", "xGB82WEST12345698765432",
        "GB82WEST123456987654321", "GB82  WEST12345698765432",
    ],
    "ip_address": [
        "256.1.1.1", "1.2.3", "1.2.3.4.5", "12:30:45", "aa:bb:cc:dd:ee:ff", "std::string", "1:2:3:4:5:6:7:8:9", "v1.2.3.4",
        "1::2::3", "1::2.3.4.5a", "::a.b.c.d", "::1.2.3.21a",
    ],
    "phone_number": [
        "2026-11-05", "05.11.2026 12:30", "12345678", "555-0143", "1250.75", "192.168.10.21", "2026-01-05 12:30:45",
        "1.234.567", "x202-555-0143",
    ],
    "jwt": ["eyJhbGciOiJFUzI1NiJ9", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ", "abc.def.ghi"],
    "aws_access_key": ["AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPLEX", "akiaiosfodnn7example", "AKIA1111111111111111"],
    "aws_secret": [
        "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", KEY40 + "x", KEY40[:-1], "/usr/local/share/Projects/2024/ada/x/yzw",
        "a" * 40,
    ],
    "github_token": ["ghp_short", "xghp_" + "a1B2" * 9, "ghx_" + "a1B2" * 9],
    "slack_token": ["xoxb-short", "xoxq-123456789012-abcdefghijkl", "hooks.slack.com/services/"],
    "google_api_key": ["AIzaShort", "AIzb" + "SyD-_9" * 5 + "abcde"],
    "stripe_key": ["pk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_live_", "task_test_4eC39HqLyjWDarjtT1z"],
    "openai_key": ["sk-institute-of-technology-and-arts", "task-Abc123Def456Ghi789Jkl012", "sk-short1A2"],
    "pem_private_key": ["-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "BEGIN PRIVATE KEY"],
}  # fmt: skip


def rules_of(*names: str, action: str = "redact") -> Rules:
    chosen = [(DETECTORS[name], replacement(action, DETECTORS[name], b"k" * 32)) for name in names]  # type: ignore[arg-type]
    return Rules(chosen, NO_FIELDS)


def cases(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, values in table.items() for value in values]


FRAMES = ["%s", "see %s, then", '"%s"', "(%s)", "\n%s\n"]


@pytest.mark.parametrize(("name", "value"), cases(HITS))
def test_a_hit_is_replaced_whole_and_nothing_else(name: str, value: str) -> None:
    rules = rules_of(name)
    for frame in FRAMES:
        counts: dict[str, int] = {}
        masked = rules.mask((frame % value).encode(), counts).decode()
        assert masked == frame % f"[REDACTED:{name}]"
        assert counts == {name: 1}


@pytest.mark.parametrize(("name", "value"), cases(MISSES))
def test_a_near_miss_stays(name: str, value: str) -> None:
    rules = rules_of(name)
    for frame in FRAMES:
        text = (frame % value).encode()
        assert rules.mask(text, {}) == text


def test_every_detector_has_hits_and_near_misses() -> None:
    assert set(HITS) | {"url_password"} == set(DETECTORS)
    assert set(MISSES) | {"url_password"} == set(DETECTORS)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgres://app:s3cret@db:5432/x", "postgres://app:[REDACTED:url_password]@db:5432/x"),
        ("https://:tok@h/", "https://:[REDACTED:url_password]@h/"),
        ("amqp://a:p@ss@h", "amqp://a:[REDACTED:url_password]@h"),
        ("amqp://a:p?s#@h", "amqp://a:[REDACTED:url_password]@h"),
        ("https://h:8080/a@b", "https://h:8080/a@b"),
        ("https://ada@h/", "https://ada@h/"),
        ("https://ada:@h/", "https://ada:@h/"),
        ("a:b@c", "a:b@c"),
    ],
)
def test_only_the_password_of_a_url_goes(text: str, masked: str) -> None:
    assert rules_of("url_password").mask(text.encode(), {}).decode() == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("2 4111 1111 1111 1111", "2 [REDACTED:credit_card]"),
        ("4111 1111 1111 1111 123", "[REDACTED:credit_card] 123"),
        ("4111111111111111 5555555555554444", "[REDACTED:credit_card] [REDACTED:credit_card]"),
        ("7 1 4 1 5 3 5 3 1 2 4 5 7 4 1 5 7 3 2 5 8 9 4 1", "7 1 4 1 5 3 5 3 1 2 4 5 7 4 1 5 7 3 2 5 8 9 4 1"),
        ("99 3782 822463 10005 12 34 56 78", "99 [REDACTED:credit_card] 12 34 56 78"),
        ("12 4111-1111-1111-1111 7", "12 [REDACTED:credit_card] 7"),
        ("no42 is GB82WEST12345698765432", "no42 is [REDACTED:iban]"),
        ("GB82 WEST 1234 5698 7654 32 and more", "[REDACTED:iban] and more"),
        ("AB12 GB82WEST12345698765432", "AB12 [REDACTED:iban]"),
        ("10.0.0.1.", "[REDACTED:ip_address]."),
        ("at 10.0.0.1:8080", "at [REDACTED:ip_address]:8080"),
        ("+1 202 555 0143 4111 1111 1111 1111", "[REDACTED:credit_card]"),
        ("mail a@x.com.", "mail [REDACTED:email]."),
        ("email=a@x.com&b=1", "email=[REDACTED:email]&b=1"),
    ],
)
def test_neighbours_do_not_hide_a_value(text: str, masked: str) -> None:
    out = rules_of("credit_card", "iban", "ip_address", "email", "phone_number").mask(text.encode(), {}).decode()
    if "+1" in text:  # a phone number and a card in one run: both are gone, under whichever names
        assert "202" not in out
        assert "1111" not in out
    else:
        assert out == masked


@pytest.mark.parametrize(
    ("name", "value", "partial"),
    [
        ("credit_card", "4111 1111 1111 1111", "****1111"),
        ("us_ssn", "123-45-6789", "****6789"),
        ("email", "ada@example.com", "a***@example.com"),
        ("email", "jos\u00e9@example.com", "j***@example.com"),
        ("email", "\u00e9a@ex\u00e4mple.com", "[REDACTED:email]"),
        ("iban", "GB82 WEST 1234 5698 7654 32", "****5432"),
        ("phone_number", "+1-202-555-0143", "****0143"),
        ("ip_address", "192.168.10.21", "192.***"),
        ("ip_address", "2001:db8::1", "2001:***"),
        ("aws_access_key", "AKIAIOSFODNN7EXAMPLE", "****"),
    ],
)
def test_partial_keeps_what_the_docs_say(name: str, value: str, partial: str) -> None:
    assert rules_of(name, action="partial").mask(value.encode(), {}).decode() == partial


def test_hash_keeps_equal_values_equal_and_others_apart() -> None:
    rules = rules_of("credit_card", action="hash")
    one, same, other = (
        rules.mask(text, {}) for text in (b"4111111111111111", b"4111-1111-1111-1111", b"5555555555554444")
    )
    assert one == same != other
    assert one.startswith(b"[credit_card:")
    assert len(one) == len(b"[credit_card:]") + 16
    assert b"4111" not in one


@pytest.mark.parametrize("text", ["ab!@example.org", "ada.@example.org", "x~@example.org"])
def test_what_an_address_is_does_not_depend_on_others(text: str) -> None:
    rules = Rules([(DETECTORS["email"], replacement("redact", DETECTORS["email"], b"k" * 32))], NO_FIELDS)
    assert rules.mask(text.encode(), {}) == b"[REDACTED:email]"
    assert rules.mask(b"bob@example.org " + text.encode(), {}) == b"[REDACTED:email] [REDACTED:email]"
