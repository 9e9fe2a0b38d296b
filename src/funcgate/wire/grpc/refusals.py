"""A refusal in gRPC's words: status, message, and google.rpc.Status with the code as ErrorInfo's reason.

The caller learns what HTTP callers learn, and no more.
"""

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as Details

from funcgate.core.refusal import MEANINGS, Code, Refused

from .metadata import write_binary
from .statuses import Status, write_message

DOMAIN = "funcgate"

STATUS_OF: Mapping[Code, Status] = {
    Code.IDENTITY_MISSING: Status.UNAUTHENTICATED,
    Code.IDENTITY_INVALID: Status.UNAUTHENTICATED,
    Code.IDENTITY_EXPIRED: Status.UNAUTHENTICATED,
    Code.IDENTITY_REVOKED: Status.UNAUTHENTICATED,
    Code.POLICY_DENIED: Status.PERMISSION_DENIED,
    Code.POLICY_ERROR: Status.PERMISSION_DENIED,
    Code.FUNCTION_UNKNOWN: Status.PERMISSION_DENIED,
    # Not UNAVAILABLE: client libraries send that again at once, without reading RetryInfo.
    Code.APPROVAL_PENDING: Status.FAILED_PRECONDITION,
    Code.APPROVAL_REJECTED: Status.PERMISSION_DENIED,
    Code.APPROVAL_EXPIRED: Status.PERMISSION_DENIED,
    Code.APPROVAL_USED: Status.PERMISSION_DENIED,
    Code.APPROVAL_UNAVAILABLE: Status.UNAVAILABLE,
    Code.REQUEST_INVALID: Status.INVALID_ARGUMENT,
    Code.REQUEST_TOO_LARGE: Status.RESOURCE_EXHAUSTED,
    Code.REQUEST_TIMEOUT: Status.DEADLINE_EXCEEDED,
    Code.TARGET_UNREACHABLE: Status.UNAVAILABLE,
    Code.TARGET_TIMEOUT: Status.DEADLINE_EXCEEDED,
    Code.MASKING_REFUSED: Status.DATA_LOSS,
    Code.JOURNAL_UNAVAILABLE: Status.UNAVAILABLE,
    Code.JOURNAL_OVERLOADED: Status.UNAVAILABLE,
    Code.JOURNAL_TOO_LARGE: Status.RESOURCE_EXHAUSTED,
    Code.GATEWAY_OVERLOADED: Status.UNAVAILABLE,
    Code.GATEWAY_ERROR: Status.INTERNAL,
}


def status_of(refused: Refused) -> Status:
    return STATUS_OF.get(refused.code, Status.INTERNAL)


def refusal(refused: Refused, call_id: str = "") -> list[tuple[bytes, bytes]]:
    """grpc-status, grpc-message and grpc-status-details-bin, in that order. `Refused.public` becomes ErrorInfo's metadata."""
    status = status_of(refused)
    title = MEANINGS[refused.code].title
    message = f"{title}: {refused.public_detail}" if refused.public_detail else title
    details = Details(code=status, message=message)
    told = {name: str(value) for name, value in refused.public.items()}
    if call_id:
        told["call_id"] = call_id
    details.details.add().Pack(ErrorInfo(reason=refused.code.value, domain=DOMAIN, metadata=told))
    if refused.retry_after_s:
        details.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=refused.retry_after_s)))
    return [
        (b"grpc-status", b"%d" % status),
        (b"grpc-message", write_message(message)),
        (b"grpc-status-details-bin", write_binary(details.SerializeToString(deterministic=True))),
    ]
