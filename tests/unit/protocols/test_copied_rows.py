"""COPY data from a server that cuts them wherever it likes, whichever reader has its turn."""

from funcgate.masking.columns import ColumnRules
from funcgate.protocols.postgres.answer import Answer
from funcgate.protocols.postgres.copied import Copying
from funcgate.protocols.postgres.shape import Hiding
from funcgate.wire.postgres import backend
from funcgate.wire.postgres.copytext import TEXT
from funcgate.wire.postgres.frames import Frame, frame


def taken(answer: Answer, kind: bytes, payload: bytes) -> bytes:
    raw = frame(kind, payload)
    return answer.take(Frame(kind, payload, raw))


def test_a_row_in_two_messages_is_one_row_also_where_rows_are_read_in_bulk() -> None:
    """Attack: the first half in a message that is too large for a bulk, so that the other half is looked at alone."""
    answer = Answer((), Hiding(ColumnRules(), lambda _: []), strict=True, copy=Copying("out", TEXT, 1 << 20))
    taken(answer, backend.COPY_OUT, b"\0\0\1\0\0")
    assert taken(answer, backend.COPY_DATA, b"whole\n") == b'["whole"]\n'
    assert taken(answer, backend.COPY_DATA, b"4111 1111") == b""
    rest = b" 1111 1111\n"
    lines, size = answer.take_rows(frame(backend.COPY_DATA, rest)) if answer.in_rows else (b"", 0)
    found = lines if size else taken(answer, backend.COPY_DATA, rest)
    assert found == b'["4111 1111 1111 1111"]\n'
