"""What is remembered of heads and metadata from one RPC to the next says nothing of anybody."""

from funcgate.core.principal import Tokens
from funcgate.protocols.grpc import heads, opening

USUAL = [(b":method", b"POST"), (b":path", b"/a.B/C"), (b"content-type", b"application/grpc"), (b"te", b"trailers")]


def test_a_caller_s_metadata_are_not_kept() -> None:
    """Attack: read the keys of callers that left long ago out of the gateway's memory."""
    fields = [*USUAL, (b"user-agent", b"grpc-test/1"), (b"x-api-key", b"caller-s-own-key")]
    assert opening.read_opening(fields, Tokens()).wrong is None
    assert (b"user-agent", b"grpc-test/1") in opening._good
    assert "caller-s-own-key" not in str(opening._good)


def test_a_target_s_metadata_are_not_kept() -> None:
    plain = [(b":status", b"200"), (b"content-type", b"application/grpc")]
    ended = [(b"grpc-status", b"0"), (b"grpc-message", b"")]
    assert heads.head_of(plain) is heads.head_of(plain)
    assert heads.success(ended) is heads.success(ended)
    mail = (b"x-mail", b"ada@example.com")
    assert heads.head_of([*plain, mail]).metadata == [mail]
    assert heads.success([*ended, mail]) == [mail]
    assert "ada@example.com" not in str((heads._heads, heads._ends))
