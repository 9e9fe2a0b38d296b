"""Which calls are wanted, and whether one is: the meaning of every filter, for the scan and for the index alike."""

from collections.abc import Callable

from msgspec import Struct

from funcgate.core.entry import Kind, Who
from funcgate.core.selector import function_pattern

from .addresses import address_of, network, spelling
from .calls import CallRecord
from .words import spaced, terms, words_of

DECISIONS = ("allow", "deny", "ask", "none")
Test = Callable[[CallRecord], bool]


class Filters(Struct, frozen=True, kw_only=True):
    """Which calls. Empty means all; what is given has to hold together.

    `principal` is a subject, ``user:SUBJECT`` or ``group:NAME``; `function` and `code` may hold ``*``; `kind` is of any
    entry of the call; `decision` is ``allow``, ``deny``, ``ask`` or ``none``. `since` and `until` are times as `moment`
    gives them, and hold for the call's arrival: from `since` on, before `until`. `client` is an address or a network
    (``10.0.0.0/8``), `approver` the subject of somebody who answered for the call. `text` is words of the masked arguments
    and answers: all of them, ``"in this order"``, or their ``begin*``.
    """

    principal: str = ""
    group: str = ""
    function: str = ""
    target: str = ""
    decision: str = ""
    kind: str = ""
    code: str = ""
    policy: str = ""
    session: str = ""
    client: str = ""
    approver: str = ""
    text: str = ""
    call: str = ""
    since: str = ""
    until: str = ""


def matcher(filters: Filters) -> Test:
    """Tells of a call whether it is wanted. Raises `ValueError` for a filter that means nothing."""
    if filters.decision not in ("", *DECISIONS):
        raise ValueError(f"{filters.decision!r} is no decision: allow, deny, ask or none")
    tests = [*_plain(filters), *_of_people(filters)]
    if filters.function:
        function = function_pattern(filters.function)
        tests.append(lambda record: function.match(record.function) is not None)
    if filters.code:
        code = function_pattern(filters.code)
        tests.append(lambda record: code.match(record.code) is not None)
    if filters.kind:
        kind = Kind(filters.kind)
        tests.append(lambda record: any(entry.kind is kind for entry in record.entries))
    if filters.client:
        tests.append(_client(filters.client))
    if filters.text:
        tests.append(_text(filters.text))
    return lambda record: all(test(record) for test in tests)


def _plain(filters: Filters) -> list[Test]:
    tests: list[Test] = []
    if filters.since:
        tests.append(lambda record: record.at >= filters.since)
    if filters.until:
        tests.append(lambda record: record.at < filters.until)
    if filters.call:
        tests.append(lambda record: record.id == filters.call)
    if filters.target:
        tests.append(lambda record: record.target == filters.target)
    if filters.decision:
        tests.append(lambda record: record.decision == filters.decision)
    if filters.session:
        tests.append(lambda record: record.session == filters.session)
    if filters.policy:
        tests.append(lambda record: record.policy is not None and filters.policy in record.policy.names)
    return tests


def _of_people(filters: Filters) -> list[Test]:
    tests: list[Test] = []
    if filters.principal:
        tests.append(lambda record: _is(record.principal, filters.principal))
    if filters.group:
        tests.append(lambda record: record.principal is not None and filters.group in record.principal.groups)
    if filters.approver:
        tests.append(
            lambda record: any(
                entry.kind is Kind.ANSWERED and _is(entry.principal, filters.approver) for entry in record.entries
            )
        )
    return tests


def _is(who: Who | None, selector: str) -> bool:
    if who is None:
        return False
    if selector.startswith("group:"):
        return selector.removeprefix("group:") in who.groups
    return selector.removeprefix("user:") in (who.subject, f"{who.issuer}/{who.subject}", who.acts_for)


def _client(wanted: str) -> Test:
    if "/" not in wanted:
        same = spelling(wanted)
        return lambda record: bool(record.client) and spelling(record.client) == same
    inside = network(wanted)

    def within(record: CallRecord) -> bool:
        address = address_of(record.client)
        return address is not None and address in inside

    return within


def _text(query: str) -> Test:
    wanted = terms(query)

    def said(record: CallRecord) -> bool:
        text = spaced(words_of(record.entries))
        return all(term.within(text) for term in wanted)

    return said
