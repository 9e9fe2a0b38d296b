"""Masks rows: the answer of a target that speaks in columns, as lines of JSON. Knows no protocol.

One line is one of: ``{"columns":[…]}`` what the rows to come look like, ``["a",null,{"hex":"ff"}]`` a row, ``{"copy":"text"}`` a piece
of COPY data, ``{"error":{…}}`` and ``{"notice":{…}}`` a message by field letter, ``{"done":"SELECT 1"}``; other objects pass as text.
"""

from typing import Literal

from msgspec import Struct

from funcgate.core.lease import Lease
from funcgate.core.reply import Reply

from .masker import Masked

# text: any text may stand in its place. json: JSON text may. number: digits that may be a card. fixed: nothing that a
# detector could find (booleans, small integers, times, uuids). other: all else (arrays, bytea, composites).
Kind = Literal["text", "json", "number", "fixed", "other"]


class Column(Struct, frozen=True):
    """One column of the rows. `of` are the columns that it comes from (``schema.table.column``), None when that cannot be told."""

    name: str
    kind: Kind = "other"
    of: tuple[str, ...] | None = None


class RowMasker:
    """The `Masker` of one function whose answers are rows. `by_column` says that the rules name columns, so `of` is needed."""

    collects = False
    by_column: bool

    def mask_args(self, encoded_args: bytes) -> bytes:
        raise NotImplementedError

    def mask_reply(self, reply: Reply, lease: Lease) -> Masked:
        """`reply.stream` gives whole lines in each piece, `reply.body` all of them. Raises `Refused(masking.refused)`."""
        raise NotImplementedError
