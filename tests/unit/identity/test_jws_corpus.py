"""The Wycheproof JWS vectors, through the very functions that verify a token's JWS part."""

import json
from collections import Counter
from pathlib import Path

import pytest

from funcgate.core.refusal import Refused
from funcgate.identity.jwt import check_signature, read_jws
from funcgate.identity.keys import fitting, read_key_set

CORPUS = Path(__file__).parents[3].parent / "shared/corpora/wycheproof_json_web_signature_test.json"


def accepted(vector: object, jwk: object) -> bool:
    text = vector if isinstance(vector, str) else json.dumps(vector)
    keys, _ = read_key_set(json.dumps({"keys": [jwk]}).encode())
    try:
        jws = read_jws(text.encode())
        found = fitting(keys, jws.kid, jws.alg)
        if len(found) != 1:
            return False
        check_signature(jws, found[0])
    except Refused:
        return False
    return True


@pytest.mark.skipif(not CORPUS.exists(), reason="../shared/corpora is not beside the repository")
def test_no_invalid_vector_is_accepted_and_the_valid_asymmetric_ones_are() -> None:
    seen: Counter[tuple[str, bool]] = Counter()
    wrong: list[int] = []
    refused_valid: dict[int, str] = {}
    for group in json.loads(CORPUS.read_bytes())["testGroups"]:
        jwk = group.get("public") or group["private"]
        for test in group["tests"]:
            verdict = accepted(test["jws"], jwk)
            seen[test["result"], verdict] += 1
            if test["result"] == "invalid" and verdict:
                wrong.append(test["tcId"])
            if test["result"] == "valid" and not verdict:
                refused_valid[test["tcId"]] = jwk["kty"]
    assert wrong == []
    assert seen == {("invalid", False): 355, ("valid", True): 32, ("valid", False): 14}
    # Refused though valid: HMAC, which is never accepted here, and keys whose own "alg" is not that of the token
    # (346 and 350: PS256 beside PS384; 347 and 351: an "ES521" that does not exist).
    assert {at for at, kty in refused_valid.items() if kty != "oct"} == {346, 347, 350, 351}
