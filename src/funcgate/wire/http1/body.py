"""The rest of a body whose head was read in compiled code: bytes of a declared length, or chunks of the plain form.

It refuses nothing: what is not plain, or comes behind the body, is llhttp's to judge.
"""

from funcgate.wire.compiled import reading

# Behind a head: what brings llhttp to where a chunked body stands, by what its chunk lacks (before a size, LF, CRLF).
AFTER_CHUNK = {0: b"", 1: b"1\r\nx\r", 2: b"1\r\nx"}


def go_on(data: bytes, left: int, chunked: bool) -> tuple[bytes, int, int]:
    """The bytes of the body in `data`, how many of `data` were taken, and what is left then: -1 when the body is complete."""
    if chunked:
        body, taken, left = reading.chunks(data, left)
        return body, taken, left
    size = len(data)
    if size == left:
        return data, size, -1
    return (data, size, left - size) if size < left else (data[:left], left, -1)
