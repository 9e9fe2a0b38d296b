"""The workload is what the issue says it is: sizes, sensitive values that are valid, tokens that are what they claim."""

import json

import pytest
from bench import workload
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet


def _luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number.replace(" ", ""))]
    return sum(digits[0::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0


def test_sizes_are_those_of_the_issue() -> None:
    work = workload.make_workload()
    sensitive, clean = workload.sensitive_answer(), workload.clean_answer()
    assert 650 <= len(work.good) <= 750
    assert 180 <= len(workload.make_body()) <= 240
    assert 1_350 <= len(sensitive.body) <= 1_450
    assert abs(len(clean.body) - len(sensitive.body)) < 50


def test_each_record_has_a_valid_card_an_address_and_a_number() -> None:
    answer = workload.sensitive_answer()
    items = json.loads(answer.body)["items"]
    assert len(items) == 7
    assert len(answer.secrets) == 21
    assert [item[name] for item in items for name in ("card", "email", "ssn")] == list(answer.secrets)
    assert all(_luhn(item["card"]) for item in items)


def test_the_clean_answer_has_none_of_them() -> None:
    clean = workload.clean_answer().body
    assert b"@" not in clean
    assert not any(secret.encode() in clean for secret in workload.sensitive_answer().secrets)


def test_the_good_token_verifies_and_the_forged_one_does_not() -> None:
    work = workload.make_workload()
    keys = KeySet.import_key_set(work.jwks)  # type: ignore[arg-type]
    assert workload.GROUP in jwt.decode(work.good, keys, algorithms=["ES256"]).claims["groups"]
    assert workload.GROUP not in jwt.decode(work.outsider, keys, algorithms=["ES256"]).claims["groups"]
    with pytest.raises(BadSignatureError):
        jwt.decode(work.bad, keys, algorithms=["ES256"])
    assert "d" not in work.jwks["keys"][0]
