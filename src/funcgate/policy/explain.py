"""Why a call was decided as it was: one line for every policy of the set, for `funcgate policy explain`.

It tells what conditions gave, never the values that they read. For operators; callers learn nothing of it.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from funcgate.core.call import Call
from funcgate.core.decision import Allow, Decision, Deny

from .index import Policy
from .spec import Effect

Condition = Literal["true", "false", "error", "not evaluated"]


class PolicyTrace(Struct, frozen=True, kw_only=True):
    """One policy and the call. `condition` of a policy without `when` is ``true`` once it was looked at."""

    name: str
    effect: Effect
    function_matches: bool
    principal_matches: bool
    condition: Condition
    error: str
    decided: bool


class Explanation(Struct, frozen=True, kw_only=True):
    """What was decided and why. `code` and `reason` are "" unless the call is denied."""

    decision: Literal["allow", "deny", "require_approval"]
    code: str
    reason: str
    version: str
    policies: tuple[PolicyTrace, ...]


def describe(
    decision: Decision, policies: Sequence[Policy], call: Call, trace: Mapping[int, tuple[Condition, str]]
) -> Explanation:
    """The explanation of a decision. `trace` holds what each evaluated policy gave, by its order."""
    lines = []
    for policy in policies:
        condition, error = trace.get(policy.order, ("not evaluated", ""))
        line = PolicyTrace(
            name=policy.name,
            effect=policy.effect,
            function_matches=call.function in policy.functions,
            principal_matches=not policy.selectors.isdisjoint(call.principal.selectors),
            condition=condition,
            error=error,
            decided=policy.name in decision.policies,
        )
        lines.append(line)
    denied = decision if isinstance(decision, Deny) else None
    word: Literal["allow", "deny", "require_approval"] = "allow" if isinstance(decision, Allow) else "require_approval"
    return Explanation(
        decision="deny" if denied else word,
        code=denied.code.value if denied else "",
        reason=denied.reason if denied else "",
        version=decision.version,
        policies=tuple(lines),
    )
