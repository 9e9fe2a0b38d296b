"""What a call is told when its target cannot be had, or its stream is gone. In private: who, why, and RFC 9113's code."""

from funcgate.core.refusal import Code, Refused

from .gone import Gone, Why


def refusal(gone: Gone) -> Refused:
    """What a call is told whose stream to the target is gone."""
    if gone.why is Why.LATE:
        return Refused(Code.TARGET_TIMEOUT, private_detail=f"the time for {gone.late} of the target was over")
    if gone.why is Why.UNREADABLE:
        return Refused(Code.MASKING_REFUSED, private_detail="the target's answer cannot be read: it breaks HTTP/2")
    return unreachable(f"{gone.why.value.replace('the peer', 'the target')} (code {gone.code})")


def unreachable(why: str) -> Refused:
    return Refused(Code.TARGET_UNREACHABLE, private_detail=why, retry_after_s=1)
