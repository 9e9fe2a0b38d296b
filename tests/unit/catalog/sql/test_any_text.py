"""Whatever the text: it is analysed or refused, and nothing else happens."""

import random
from pathlib import Path

import pytest

from funcgate.catalog.sql import load_sql
from funcgate.core.refusal import Refused
from support.leaks import LEAKS, PEOPLE, SHOWN
from support.statements import TABLES, WRITES

TEXTS = [*LEAKS, *SHOWN, *WRITES, *PEOPLE.split(";"), *TABLES.split(";")]
WORDS = sorted(
    {word for text in TEXTS for word in text.split()}
    | {"$1", "NULL", "*", "(", ")", ",", "LATERAL", "ALL", "NOT", "IN", "::"}
)


@pytest.mark.parametrize("seed", range(8))
def test_mutated_statements_are_analysed_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    catalogue = load_sql("shop", None, Path(), ())
    analysed = 0
    for _ in range(1500):
        words = chance.choice(TEXTS).split()
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(words) + 1)
            cut = chance.randint(0, 2)
            other = chance.choice(TEXTS).split()
            words[at : at + cut] = chance.choice(
                [[chance.choice(WORDS)], other[: chance.randint(0, 8)], ["(", *other, ")"], []]
            )
        try:
            analysed += len(catalogue.analyse(" ".join(words)))
        except Refused:
            continue
    assert analysed > 100
