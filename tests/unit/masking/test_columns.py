"""Names of columns in masking rules; and errors, which quote values."""

import pytest

from funcgate.core.problem import Unusable
from funcgate.masking import RuleSpec, compile_rules
from funcgate.masking.columns import LABEL, ColumnRules

RULES = ColumnRules(["people.ssn"])


@pytest.mark.parametrize(
    ("fields", "hidden"),
    [
        ({"S": "ERROR", "C": "22P02", "M": 'invalid input syntax for type integer: "123-45-6789"'}, "123-45-6789"),
        ({"C": "23505", "M": "duplicate key", "D": "Key (ssn)=(123-45-6789) already exists."}, "123-45-6789"),
        ({"C": "P0001", "M": "the number is 123-45-6789", "H": "123-45-6789", "W": "at 123-45-6789"}, "123-45-6789"),
        ({"C": "00000", "M": "NOTICE of 'somebody'"}, "somebody"),
        ({"C": "00000", "M": "NOTICE of somebody"}, "somebody"),
        ({"C": "P0001", "M": "it is somebody"}, "somebody"),
        ({"C": "22P02", "M": 'invalid input syntax for type integer: "x"somebody"y"'}, "somebody"),
        ({"C": "22023", "M": "Kodierung \u201esomebody\u201c gibt es nicht"}, "somebody"),
        ({"C": "42P01", "M": 'relation "somebody" does not exist'}, "somebody"),
        ({"C": "42883", "M": "operator does not exist: somebody(int,int)"}, "somebody"),
        ({"C": "42601", "M": 'syntax error at or near "-"', "W": 'invalid type name "somebody"', "P": "7"}, "somebody"),
        ({"C": "42601", "M": "syntax error", "q": "SELECT somebody", "p": "7"}, "somebody"),
        ({"C": "23514", "M": "it is somebody", "c": "somebody", "W": "at RAISE", "F": "pl_exec.c"}, "somebody"),
    ],
)
def test_an_error_does_not_tell_a_hidden_value(fields: dict[str, str], hidden: str) -> None:
    shown = RULES.message(fields)
    assert hidden not in str(shown)
    assert shown["C"] == fields["C"]
    assert ColumnRules().message(fields) == fields


def test_what_is_wrong_with_the_statement_itself_is_told() -> None:
    fields = {"S": "ERROR", "C": "42P01", "M": 'relation "nothing" does not exist', "P": "15"}
    assert RULES.message(fields) == fields


def test_the_fields_of_a_rule_are_columns_where_answers_are_rows() -> None:
    rule = RuleSpec(functions=["shop.*"], fields=["people.ssn", "items[*].card", "a.b.c.d"])
    plan = compile_rules([rule], ["shop.select", "shop.show", "api.get"], hash_key=b"k" * 32)
    assert plan.columns("shop.select").label([("public", "people", "ssn")]) == LABEL
    assert plan.columns("shop.select").label([("public", "items", "card")]) is None
    assert plan.columns("shop.show")
    assert not plan.columns("api.get")


def test_a_field_that_can_be_no_column_is_a_problem_where_there_are_only_rows() -> None:
    rule = RuleSpec(functions=["shop.*"], fields=["people.ssn", "items[*].card", "a.b.c.d"])
    with pytest.raises(Unusable) as unusable:
        compile_rules([rule], ["shop.select"], hash_key=b"k" * 32, rows={"shop.select"})
    assert [problem.where for problem in unusable.value.problems] == [
        ("masking", 0, "fields", 1),
        ("masking", 0, "fields", 2),
    ]
    compile_rules([rule], ["shop.select", "shop.get"], hash_key=b"k" * 32, rows={"shop.select"})
