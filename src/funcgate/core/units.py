"""Sizes and times as the configuration spells them: ``1MiB``, ``500KB``, ``5ms``, ``15m``, ``7y`` (a year is 365 days)."""

import re

_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TIMES = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "y": 365 * 86400.0}
_AMOUNT = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z]+)")


def parse_size(text: str | int) -> int:
    """Bytes. A bare whole number is bytes. Raises `ValueError` that says which units there are."""
    if isinstance(text, int):
        return text
    return int(_parse(text, _SIZES, "a size such as 64KiB or 16MiB"))


def parse_time(text: str | int | float) -> float:
    """Seconds. A bare number is seconds. Raises `ValueError` that says which units there are."""
    if isinstance(text, int | float):
        return float(text)
    return _parse(text, _TIMES, "a time such as 5ms, 30s or 15m")


def _parse(text: str, units: dict[str, float] | dict[str, int], wanted: str) -> float:
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or found[2] not in units:
        raise ValueError(f"{text!r} is not {wanted} (units: {', '.join(units)})")
    return float(found[1]) * units[found[2]]
