"""A value that was bound, as policies and the record see it: the same text, whichever way it was sent."""

from typing import Any

from funcgate.core.refusal import Code, Refused
from funcgate.wire.postgres.frames import Malformed
from funcgate.wire.postgres.values import SPELLED, Opaque, shown


def bound_text(kind: int, form: int, value: bytes | None) -> Any:
    """By the type's OID and the format. Raises `Refused(request.invalid)`."""
    if value is None:
        return None
    try:
        if form == 0 and kind not in SPELLED:
            return value.decode()
        found = shown(kind, form, value)
    except (Malformed, UnicodeDecodeError):
        raise Refused(Code.REQUEST_INVALID, "A bound value is not UTF-8.") from None
    if isinstance(found, Opaque):
        return {"hex": value.hex()}
    if isinstance(found, bool):
        return "true" if found else "false"
    return found if isinstance(found, str | list) else str(found)
