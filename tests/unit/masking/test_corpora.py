"""Texts and JSON that nobody in this project wrote."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from funcgate.core.lease import NO_LEASE
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.masking import RuleSpec, compile_rules

CORPORA = Path(__file__).parents[4] / "shared" / "corpora"
SYNTHETIC = CORPORA / "presidio_synth_dataset_v2.json"
SUITE = CORPORA / "jsontestsuite" / "test_parsing"
MASKER = compile_rules([RuleSpec(functions=["*"], detect="all")], ["a.b"], hash_key=b"k" * 32).masker("a.b")
NEVER = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN")
FIGURES = ("IP_ADDRESS", "PHONE_NUMBER")


def mask(body: bytes, media: str) -> bytes:
    out = MASKER.mask_reply(Reply(status=200, headers=[], media=media, body=body), NO_LEASE).reply.body
    assert out is not None
    return out


def through_json(make: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: json.dumps(json.loads(mask(make(text).encode(), "application/json")), ensure_ascii=False)


def escaped(text: str) -> str:
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)) + '"'


CARRIERS: dict[str, Callable[[str], str]] = {
    "text": lambda text: mask(text.encode(), "text/plain").decode(),
    "json": through_json(lambda text: json.dumps({"t": [text]}, ensure_ascii=False, separators=(",", ":"))),
    "pretty": through_json(lambda text: json.dumps({"t": {"u": text}}, indent=4)),
    "escaped": through_json(lambda text: f'{{"t":{escaped(text)}}}'),
    "key": through_json(lambda text: json.dumps({text: 1})),
    "json in json": through_json(lambda text: json.dumps({"t": f"[{escaped(text)}]"})),
}


def spans() -> list[tuple[str, list[tuple[str, str]]]]:
    if not SYNTHETIC.exists():
        pytest.skip(f"{SYNTHETIC.name} is not beside the repository (../shared/corpora)")
    records: list[Any] = json.loads(SYNTHETIC.read_bytes())
    return [
        (record["full_text"], [(span["entity_type"], span["entity_value"]) for span in record["spans"]])
        for record in records
    ]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_no_card_email_iban_or_ssn_leaks(carrier: str) -> None:
    seen: Counter[str] = Counter()
    leaked: Counter[str] = Counter()
    for text, found in spans():
        values = [(kind, value) for kind, value in found if kind in NEVER + FIGURES]
        if not values:
            continue
        shown = CARRIERS[carrier](text)
        for kind, value in values:
            seen[kind] += 1
            leaked[kind] += value in shown
    print(f"{carrier}: " + ", ".join(f"{kind} {seen[kind] - leaked[kind]} of {seen[kind]} masked" for kind in FIGURES))
    assert {kind: seen[kind] for kind in NEVER} == {
        "CREDIT_CARD": 136,
        "EMAIL_ADDRESS": 49,
        "IBAN_CODE": 21,
        "US_SSN": 16,
    }
    assert {kind: leaked[kind] for kind in NEVER} == dict.fromkeys(NEVER, 0)
    assert leaked["IP_ADDRESS"] == 0
    assert leaked["PHONE_NUMBER"] <= 29


def test_no_card_leaks_as_a_number() -> None:
    cards = [value for _, found in spans() for kind, value in found if kind == "CREDIT_CARD" and value[0] != "0"]
    assert len(cards) == 135
    for card in cards:
        exponent = f"{card[0]}.{card[1:]}e{len(card) - 1}"
        for number in (card, f"-{card}", f"{card}.0", f"{card}0e-1", exponent, exponent.replace("e", "E+")):
            assert mask(f'{{"n":{number}}}'.encode(), "application/json") == b'{"n":"[REDACTED:credit_card]"}', number


def suite(prefix: str) -> list[Path]:
    return sorted(SUITE.glob(f"{prefix}_*.json")) if SUITE.exists() else []


def judged(raw: bytes) -> bytes | None:
    try:
        return mask(raw, "application/json")
    except Refused as refused:
        if refused.code is not Code.MASKING_REFUSED:
            raise
        return None


def test_the_suite_raises_nothing_but_refusals() -> None:
    if not suite("i"):
        pytest.skip("jsontestsuite is not beside the repository (../shared/corpora)")
    rules = [RuleSpec(functions=["*"], detect="all", fields=["**.password"])]
    plan = compile_rules(rules, ["a.b"], hash_key=b"k" * 32)
    for path in SUITE.rglob("*.json"):
        raw = path.read_bytes()
        for media in ("application/json", "application/x-ndjson", "text/plain"):
            answer = Reply(status=200, headers=[], media=media, body=raw)
            assert plan.masker("a.b", unmaskable_pass=True).mask_reply(answer, NO_LEASE).reply.body is not None
            with suppress(Refused):
                plan.masker("a.b").mask_reply(answer, NO_LEASE)


def test_json_suite() -> None:
    if not suite("y"):
        pytest.skip("jsontestsuite is not beside the repository (../shared/corpora)")
    for path in suite("y"):
        assert judged(path.read_bytes()) is not None, path.name
    for path in suite("n"):
        raw = path.read_bytes()
        assert not raw or judged(raw) is None, path.name
    for path in suite("i"):
        raw = path.read_bytes()
        out = judged(raw)
        if out is not None:  # taken: then every reader must take it the same way
            assert json.loads(out) == json.loads(raw), path.name
            out.decode()
