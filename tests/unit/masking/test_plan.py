"""Rules that would load but hide nothing are refused, all at once; what is left hides what it says."""

import pytest

from funcgate.core.problem import Problem, Unusable
from funcgate.masking import MaskingPlan, RuleSpec, compile_rules

FUNCTIONS = ["payments.getTransfer", "payments.listTransfers", "shop.select"]


def plan(*rules: RuleSpec, **options: object) -> MaskingPlan:
    return compile_rules(rules, FUNCTIONS, hash_key=b"k" * 32, **options)  # type: ignore[arg-type]


def problems(*rules: RuleSpec, **options: object) -> list[Problem]:
    with pytest.raises(Unusable) as caught:
        plan(*rules, **options)
    return caught.value.problems


def test_every_problem_is_told_with_its_place() -> None:
    found = problems(
        RuleSpec(functions=["paiments.*"], detect=["credit_crad"]),
        RuleSpec(functions=["payments.getTransfers"]),
        RuleSpec(functions=["shop.*"], fields=["a..b", "a[0]", "a.**", "x*y"], action="tokenize"),
        RuleSpec(functions=[], detect="emial"),
        RuleSpec(functions=["shop.*"], detect=["all"]),
        journal_detect=["nothing_like_it"],
    )
    told = {problem.where: problem.text for problem in found}
    assert set(told) == {
        ("masking", 0, "functions", 0), ("masking", 0, "detect", 0), ("masking", 1, "functions", 0), ("masking", 1),
        ("masking", 2, "fields", 0), ("masking", 2, "fields", 1), ("masking", 2, "fields", 2), ("masking", 2, "fields", 3),
        ("masking", 2, "action"), ("masking", 3, "functions"), ("masking", 3, "detect", 0), ("masking", 4, "detect", 0),
        ("journal", "detect", 0),
    }  # fmt: skip
    assert "did you mean 'credit_card'" in told["masking", 0, "detect", 0]
    assert "did you mean 'payments.getTransfer'" in told["masking", 1, "functions", 0]
    assert "did you mean 'email'" in told["masking", 3, "detect", 0]
    assert "not there yet" in told["masking", 2, "action"]
    assert "there are: credit_card" in told["journal", "detect", 0]


def test_the_masker_of_a_function_is_made_once() -> None:
    compiled = plan(RuleSpec(functions=["payments.*"], detect="all"))
    assert compiled.masker("payments.getTransfer") is compiled.masker("payments.getTransfer")
    assert compiled.masker("payments.getTransfer") is not compiled.masker("payments.getTransfer", unmaskable_pass=True)


def test_arguments_are_masked_for_the_journal_with_and_without_rules() -> None:
    compiled = plan(
        RuleSpec(functions=["payments.getTransfer"], fields=["**.password"], detect=["email"], action="hash")
    )
    args = b'{"to":"a@x.com","card":4111111111111111,"password":"p","n":1.50}'
    assert compiled.masker("shop.select").mask_args(args) == (
        b'{"to":"[REDACTED:email]","card":"[REDACTED:credit_card]","password":"p","n":1.50}'
    )
    masked = compiled.masker("payments.getTransfer").mask_args(args)
    assert b'"to":"[email:' in masked
    assert b'"card":"[REDACTED:credit_card]","password":"[field:' in masked


@pytest.mark.parametrize(
    "args", [b"", b"{", b"\xff", b'{"a":NaN}', b"[" * 5000, b'{"a":"\\ud800"}', b"not a@x.com json"]
)
def test_arguments_that_cannot_be_masked_are_replaced_whole(args: bytes) -> None:
    masker = plan().masker("shop.select")
    assert masker.mask_args(args) == b'"[UNMASKABLE]"'


def test_masked_arguments_are_one_line() -> None:
    masker = plan().masker("shop.select")
    masked = masker.mask_args(b'{\n "a": "x\\ny",\r\n "b": "a@x.com"\n}')
    assert masked == b'{"a":"x\\ny","b":"[REDACTED:email]"}'


def test_the_first_rule_that_names_a_detector_decides_its_action() -> None:
    compiled = plan(
        RuleSpec(functions=["payments.*"], detect=["email"], action="partial"),
        RuleSpec(functions=["*"], detect=["email", "us_ssn"]),
    )
    args = b'["ada@x.com","123-45-6789"]'
    assert compiled.masker("payments.getTransfer").mask_args(args) == b'["a***@x.com","[REDACTED:us_ssn]"]'
    assert compiled.masker("shop.select").mask_args(args) == b'["[REDACTED:email]","[REDACTED:us_ssn]"]'
