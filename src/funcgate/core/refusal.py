"""Every way to say no: one table of codes, one exception that protocols render.

The code and the title are all that a caller learns; whatever names a policy, a path or a peer is private.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Code(StrEnum):
    IDENTITY_MISSING = "identity.missing"
    IDENTITY_INVALID = "identity.invalid"
    IDENTITY_EXPIRED = "identity.expired"
    IDENTITY_REVOKED = "identity.revoked"
    POLICY_DENIED = "policy.denied"
    POLICY_ERROR = "policy.error"
    FUNCTION_UNKNOWN = "function.unknown"
    APPROVAL_PENDING = "approval.pending"
    APPROVAL_REJECTED = "approval.rejected"
    APPROVAL_EXPIRED = "approval.expired"
    APPROVAL_USED = "approval.used"
    APPROVAL_UNAVAILABLE = "approval.unavailable"
    REQUEST_INVALID = "request.invalid"
    REQUEST_TOO_LARGE = "request.too_large"
    REQUEST_TIMEOUT = "request.timeout"
    TARGET_UNREACHABLE = "target.unreachable"
    TARGET_TIMEOUT = "target.timeout"
    BUDGET_EXCEEDED = "budget.exceeded"
    MASKING_REFUSED = "masking.refused"
    JOURNAL_UNAVAILABLE = "journal.unavailable"
    JOURNAL_OVERLOADED = "journal.overloaded"
    JOURNAL_TOO_LARGE = "journal.too_large"
    GATEWAY_OVERLOADED = "gateway.overloaded"
    GATEWAY_ERROR = "gateway.error"


class Meaning(NamedTuple):
    """How a code is rendered: an HTTP status (RFC 9110, section 15) and a title."""

    status: int
    title: str


MEANINGS: Mapping[Code, Meaning] = {
    Code.IDENTITY_MISSING: Meaning(401, "A token is needed"),
    Code.IDENTITY_INVALID: Meaning(401, "The token is not accepted"),
    Code.IDENTITY_EXPIRED: Meaning(401, "The token has expired"),
    Code.IDENTITY_REVOKED: Meaning(401, "The token was revoked"),
    Code.POLICY_DENIED: Meaning(403, "This call is not allowed"),
    Code.POLICY_ERROR: Meaning(403, "This call could not be judged"),
    Code.FUNCTION_UNKNOWN: Meaning(403, "There is no such function"),
    Code.APPROVAL_PENDING: Meaning(403, "This call waits for an approval"),
    Code.APPROVAL_REJECTED: Meaning(403, "This call was rejected"),
    Code.APPROVAL_EXPIRED: Meaning(403, "The approval has expired"),
    Code.APPROVAL_USED: Meaning(403, "The approval was used by the same call"),
    Code.APPROVAL_UNAVAILABLE: Meaning(503, "Approvals cannot be asked for now"),
    Code.REQUEST_INVALID: Meaning(400, "The request is not valid"),
    Code.REQUEST_TOO_LARGE: Meaning(413, "The request is too large"),
    Code.REQUEST_TIMEOUT: Meaning(408, "The request took too long to arrive"),
    Code.TARGET_UNREACHABLE: Meaning(502, "The target cannot be reached"),
    Code.TARGET_TIMEOUT: Meaning(504, "The target took too long to answer"),
    Code.BUDGET_EXCEEDED: Meaning(429, "This is more than may be had"),
    Code.MASKING_REFUSED: Meaning(502, "The answer cannot be shown"),
    Code.JOURNAL_UNAVAILABLE: Meaning(503, "Calls cannot be recorded now"),
    Code.JOURNAL_OVERLOADED: Meaning(503, "Too many calls are being recorded now"),
    Code.JOURNAL_TOO_LARGE: Meaning(502, "The call is too large to be recorded"),
    Code.GATEWAY_OVERLOADED: Meaning(503, "Too many calls are under way now"),
    Code.GATEWAY_ERROR: Meaning(500, "The call could not be carried out"),
}


class Refused(Exception):
    """The call is refused. The only exception that protocols render.

    `public_detail` goes to the caller and must tell nothing about the configuration. `private_detail` goes to the
    journal and must hold no token, no secret and no unmasked value. `status` overrides the table's HTTP status,
    for the few cases where HTTP has a more exact one (414, 417, 426, 431, 501). `public` are further members for the
    caller (RFC 9457, 3.2), as public as the detail.
    """

    def __init__(
        self,
        code: Code,
        public_detail: str = "",
        *,
        private_detail: str = "",
        status: int = 0,
        retry_after_s: int = 0,
        public: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code.value)
        self.code = code
        self.public_detail = public_detail
        self.private_detail = private_detail
        self.status = status or MEANINGS[code].status
        self.retry_after_s = retry_after_s
        self.public = public or {}
