"""The columns of a prepared statement in the formats that a Bind asks for, worked out once for each choice of formats."""

from collections.abc import Sequence

from funcgate.wire.postgres import backend

from .statement import Prepared

_MOST = 16  # choices that are remembered of one statement


def formatted(prepared: Prepared, formats: tuple[int, ...]) -> Sequence[backend.Column] | None:
    """The columns of a statement in the formats that a Bind asks for."""
    columns = prepared.columns
    if columns is None:
        return None
    known = prepared.formatted.get(formats)
    if known is None and (known := _in_formats(columns, formats)) is not None:
        if len(prepared.formatted) >= _MOST:
            prepared.formatted.clear()
        prepared.formatted[formats] = known
    return known


def _in_formats(columns: Sequence[backend.Column], formats: Sequence[int]) -> Sequence[backend.Column] | None:
    if len(formats) > 1 and len(formats) != len(columns):
        return None
    wanted = list(formats) * len(columns) if len(formats) == 1 else formats or [0] * len(columns)
    return tuple([column._replace(format=form) for column, form in zip(columns, wanted, strict=True)])
