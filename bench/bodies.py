"""Everyday answers, about 1.4 kB each unless their name says more: what masking one costs depends on how it is spelled.

All of them are made up. None is meant to be hard: those are for the tests.
"""

import json
from typing import Any

_JSON = "application/json"
_TIMES = ["2026-11-21T03:00:00Z", "2026-11-21T03:00:17.125+01:00", "2026-02-28 23:59:59"]
_IDS = ["6f1c2a9e-7b1d-4c55-9a31-0f5f7e1c2d3b", "0a5b77de-91c4-4f0e-8d2a-c3b1f6e49d10"]
_PROSE = "The order was packed on Monday and left the house on Tuesday; the parcel is late because of the snow. "
_GERMAN = "Größe geändert: 12 Stück für Zürich, Lieferung am 21.11.2026 „früh“ – Rückfragen ans Büro. "


def _compact(value: Any, *, ascii_only: bool = False) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode()


def _order(at: int, **more: Any) -> dict[str, Any]:
    return {
        "id": _IDS[at % 2], "number": 100_200 + at, "state": "shipped", "created": _TIMES[at % 3], "total": 19.9 * (at + 1),
        "link": f"https://shop.example/orders/{100_200 + at}?view=full", "gift": at % 2 == 0, "note": None, **more,
    }  # fmt: skip


def _orders(many: int, **more: Any) -> list[dict[str, Any]]:
    return [_order(at, **more) for at in range(many)]


def _people(many: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": at, "name": f"Person {at}", "city": "Bern", "active": True, **more} for at in range(many)]


def _log(many: int, end: str = "") -> str:
    line = "2026-11-21 03:00:17 INFO request {} of worker 3 took 17.25 ms, 200 /orders/100200{}\n"
    return "".join(line.format(at, end) for at in range(many))


def answers() -> dict[str, tuple[str, bytes]]:
    """What each is, with its media type and its bytes."""
    orders = _orders(6)
    found = {
        "orders: times, ids, links": _compact({"orders": orders}),
        "the same, a line end in each": _compact({"orders": _orders(6, text="left the house\nat noon")}),
        "the same, links with \\/": _compact({"orders": orders}).replace(b"/", b"\\/"),
        "the same, 8 kB": _compact({"orders": _orders(32, text="left\nthe house")}),
        "the same, 64 kB": _compact({"orders": _orders(260, text="left\nthe house")}),
        "prose with line ends": _compact({"text": (_PROSE + "\n") * 13}),
        "prose with line ends, a text alone": _compact((_PROSE + "\n") * 13),
        "German, UTF-8": _compact({"lines": [_GERMAN] * 14}),
        "German, \\u00fc": _compact({"lines": [_GERMAN] * 11}, ascii_only=True),
        "links with %20 and &amp;": _compact(
            [f"https://shop.example/find?q=a%20b&amp;page={at}&#38;x" for at in range(25)]
        ),
        "numbers with exponents": _compact([{"x": 1.5e-7 * at, "y": 6.02e23, "z": 0.1 * at} for at in range(1, 24)]),
        "JSON in JSON": _compact({"event": json.dumps({"orders": _orders(5)}), "sent": True}),
        "JSON in JSON in JSON": _compact({"event": json.dumps({"body": json.dumps(_orders(4))})}),
        "8 e-mail addresses in texts": _compact(_people(8, text="write to ada@example.com, please; or call. " * 2)),
        "20 e-mail addresses, line ends": _compact(_people(20, mail="ada@example.com\n")),
        "8 cards in texts": _compact(
            _people(8, text="paid with 4111 1111 1111 1111, on Monday; thank you for that. " * 2)
        ),
        "20 cards as numbers": _compact(_people(20, card=4111111111111111)),
        "an IBAN and an address of IPv4": _compact(
            [*orders, {"iban": "GB82WEST12345698765432", "from": "192.168.10.21"}]
        ),
        "telephone numbers": _compact(_people(16, phone="+1 (202) 555-0143")),
        "a hidden field": _compact([*orders[:5], {"user": "ada", "password": "swordfish"}]),
        "hidden fields in all": _compact(_people(20, password="swordfish")),
        "beside a hidden field, a line end": _compact([*orders[:5], {"text": "left the house\nat noon"}]),
    }
    table = "id,name,city,created,total\n" + "".join(f"{at},Person {at},Bern,2026-11-21,{at}9.90\n" for at in range(40))
    return {
        **{name: (_JSON, body) for name, body in found.items()},
        "lines of JSON, escapes": ("application/x-ndjson", b"".join(_compact([at, "left\nus"]) + b"\n" for at in range(82))),
        "a log as text": ("text/plain", _log(18).encode()),
        "a log as text, with addresses": ("text/plain", _log(16, " ada@example.com").encode()),
        "a table as CSV": ("text/csv", table.encode()),
    }  # fmt: skip
