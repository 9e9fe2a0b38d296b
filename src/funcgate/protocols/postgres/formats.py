"""The columns of a prepared statement in the formats that a Bind asks for, worked out once for each choice of formats."""

from collections.abc import Sequence

from funcgate.wire.postgres import backend

from .origins import Origins
from .statement import Prepared

_MOST = 16  # choices that are remembered of one statement


def formatted(prepared: Prepared, formats: tuple[int, ...], origins: Origins) -> Sequence[backend.Column] | None:
    """The columns of a statement in the formats that a Bind asks for; None where they have to be asked for (again)."""
    columns, statement = prepared.columns, prepared.statement
    if columns is None:
        return None
    # Attack: have SELECT note FROM people described, and then SET search_path: the server plans it anew, and brings the column of
    # that name in another table, which is hidden, under the description of the first one.
    tables = statement is not None and (statement.read_names or statement.written_names)
    if columns and tables and (prepared.version != origins.version or not origins.fresh()):
        return None
    known = prepared.formatted.get(formats)
    if known is None and (known := _in_formats(columns, formats)) is not None:
        if len(prepared.formatted) >= _MOST:
            prepared.formatted.clear()
        prepared.formatted[formats] = known
    return known


def describe(prepared: Prepared, columns: Sequence[backend.Column], version: int) -> None:
    """Remember what the database said, in whichever formats, when this was the `version` of what is known of tables."""
    prepared.columns, prepared.version = columns, version
    prepared.formatted.clear()


def _in_formats(columns: Sequence[backend.Column], formats: Sequence[int]) -> Sequence[backend.Column] | None:
    if len(formats) > 1 and len(formats) != len(columns):
        return None
    wanted = list(formats) * len(columns) if len(formats) == 1 else formats or [0] * len(columns)
    return tuple([column._replace(format=form) for column, form in zip(columns, wanted, strict=True)])
