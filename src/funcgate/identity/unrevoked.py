"""Calls of revoked sessions are denied. A session is known only once the call is: too late for what looks at tokens."""

from funcgate.core.call import Call
from funcgate.core.decision import Decision, Deny
from funcgate.core.native import half
from funcgate.core.ports import Policies
from funcgate.core.refusal import Code
from funcgate.core.revocation import Revoked

_native = half("funcgate.identity._native")


class Unrevoked:
    """`core.ports.Policies` that denies calls of revoked sessions before any policy is asked."""

    __slots__ = ("_decide", "_policies", "_revoked", "_version")

    def __init__(self, policies: Policies, revoked: Revoked, version: str) -> None:
        self._policies = policies
        self._decide = policies.decide
        self._revoked = revoked
        self._version = version

    def decide(self, call: Call) -> Decision:
        if call.session in self._revoked.sessions:
            found = self._revoked.of_session(call.session)
            detail = f"the session: revocation {found.id if found else '?'}"
            return Deny(Code.IDENTITY_REVOKED, detail, (), self._version)
        return self._decide(call)

    def blind(self, call: Call) -> bool:
        """See `core.ports.Policies`. Sessions are no arguments."""
        return self._policies.blind(call)


def unrevoked(policies: Policies, revoked: Revoked, version: str) -> Policies:
    """These policies, but for calls of revoked sessions."""
    slow = Unrevoked(policies, revoked, version)
    if _native is None:
        return slow
    made: Policies = _native.Unrevoked(policies, revoked, slow)
    return made
