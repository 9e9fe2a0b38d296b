"""OCSF 1.8.0, class API Activity (6003) with the profiles `security_control` and `trace`: one JSON object a line.

What the schema has no word for stands in `unmapped`, by the journal's names.
"""

from importlib.metadata import version
from ipaddress import ip_address
from typing import Any, ClassVar

import msgspec

from funcgate.core.entry import Entry, Who
from funcgate.recording.calls import CallRecord

from .form import change_of, host_and_port, milliseconds, severity_of, who_of

SCHEMA_VERSION = "1.8.0"
_PRODUCT = {"name": "funcgate", "vendor_name": "funcgate", "version": version("funcgate")}
_SEVERITY = {1: "Informational", 2: "Low", 3: "Medium"}
_CLASS = {
    "category_uid": 6, "category_name": "Application Activity", "class_uid": 6003, "class_name": "API Activity",
    "activity_id": 99, "activity_name": "Call", "type_uid": 600399, "type_name": "API Activity: Other",
}  # fmt: skip
_ACTIONS: dict[str, dict[str, Any]] = {
    "allow": {"action_id": 1, "action": "Allowed", "disposition_id": 1, "disposition": "Allowed"},
    "deny": {"action_id": 2, "action": "Denied", "disposition_id": 2, "disposition": "Blocked"},
    "ask": {"action_id": 99, "action": "Held", "disposition_id": 14, "disposition": "Delayed"},
    "none": {"action_id": 0, "action": "Unknown", "disposition_id": 0, "disposition": "Unknown"},
}
_encode = msgspec.json.Encoder().encode


class Ocsf:
    suffix: ClassVar[str] = "ocsf.jsonl"
    admin: ClassVar[bool] = True
    content: ClassVar[bool] = True
    appends: ClassVar[bool] = True

    def header(self) -> bytes:
        return b""

    def row(self, what: CallRecord | Entry) -> bytes:
        return _encode(ocsf_of(what)) + b"\n"

    def footer(self) -> bytes:
        return b""


def ocsf_of(what: CallRecord | Entry) -> dict[str, Any]:
    """The event. Without empty members."""
    event = _of_change(what) if isinstance(what, Entry) else _of_call(what)
    return {name: value for name, value in event.items() if value not in (None, "", {}, [])}


def _of_call(call: CallRecord) -> dict[str, Any]:
    severity = severity_of(call)
    started, ended = milliseconds(call.at), milliseconds(call.ended_at)
    policies = call.policy.names if call.policy else ()
    policy_version = call.policy.version if call.policy else ""
    return {
        **_CLASS, **_ACTIONS[_decided(call)], **_status(call),
        "severity_id": severity, "severity": _SEVERITY[severity],
        "time": started, "start_time": started, "end_time": ended, "duration": max(0, ended - started) if ended else None,
        "count": call.count,
        "message": f"{call.function or call.target or 'call'} {call.decision}",
        "metadata": _metadata(call.id, call.at, call.entries[-1].seq if call.entries else 0, call.session),
        "actor": _actor(call),
        "api": _api(call),
        "src_endpoint": _source(call.client),
        "dst_endpoint": {"svc_name": call.target} if call.target else None,
        "policy": _full(name=policies[0], version=policy_version) if policies else None,
        "authorizations": [
            {"decision": call.decision, "policy": _full(name=name, version=policy_version)} for name in policies
        ],
        "trace": {"uid": call.trace} if call.trace else None,
        "unmapped": _full(
            outcome=call.outcome, reason=call.reason, digest=call.digest, masked=dict(call.masked),
            timing_us=dict(call.timing_us), body_bytes=call.body_bytes, body_cut=call.body_cut,
            acts_for=call.principal.acts_for if call.principal else None,
        ),
    }  # fmt: skip


def _decided(call: CallRecord) -> str:
    """A call that was held and then let through was allowed."""
    return "allow" if call.decision == "ask" and call.outcome in ("complete", "cut") else call.decision


def _status(call: CallRecord) -> dict[str, Any]:
    if call.outcome == "complete":
        known = {"status_id": 1, "status": "Success"}
    elif call.code or call.outcome in ("failed", "cut", "refused", "cancelled"):
        known = {"status_id": 2, "status": "Failure"}
    else:
        known = {"status_id": 0, "status": "Unknown"}
    return known | _full(status_code=call.code or str(call.status or ""), status_detail=call.detail)


def _metadata(uid: str, at: str, seq: int, session: str) -> dict[str, Any]:
    return _full(
        product=_PRODUCT, version=SCHEMA_VERSION, profiles=["security_control", "trace"], uid=uid, original_time=at, sequence=seq,
        log_name="journal", correlation_uid=session,
    )  # fmt: skip


def _actor(call: CallRecord) -> dict[str, Any]:
    who = call.principal
    if who is None:
        return {"app_name": "unidentified"}
    return _full(
        user=_user(who), app_uid=who.actor, idp={"name": who.issuer},
        session=_full(uid=call.session, issuer=who.issuer, credential_uid=who.token),
    )  # fmt: skip


def _user(who: Who) -> dict[str, Any]:
    return _full(uid=who.subject, name=who.subject, groups=[{"name": name} for name in who.groups])


def _api(call: CallRecord) -> dict[str, Any]:
    response = _full(code=call.status, error=call.code, error_message=call.detail, data=call.body)
    return _full(
        operation=call.function or "unknown", service=_full(name=call.target),
        request=_full(uid=call.id, data=call.args), response=response,
    )  # fmt: skip


def _source(client: str) -> dict[str, Any]:
    host, port = host_and_port(client)
    try:
        return _full(ip=str(ip_address(host)), port=port)
    except ValueError:
        return _full(name=host or "unknown", port=port)


def _of_change(entry: Entry) -> dict[str, Any]:
    at = milliseconds(entry.at)
    refused = entry.outcome == "refused"
    who = who_of(entry)
    return {
        **_CLASS, "activity_name": "Administration", "severity_id": 1, "severity": "Informational",
        "status_id": 2 if refused else 1, "status": "Failure" if refused else "Success", "time": at,
        "metadata": _metadata(f"seq-{entry.seq}", entry.at, entry.seq, ""),
        "actor": {"user": {"name": who}} if who else {"app_name": "funcgate"},
        "api": {"operation": f"administration.{change_of(entry)}", "service": {"name": "funcgate"}},
        "src_endpoint": {"svc_name": "funcgate"},
        "unmapped": _full(
            change=dict(entry.change), outcome=entry.outcome, call=entry.call, approval=entry.approval, detail=entry.detail
        ),
    }  # fmt: skip


def _full(**members: Any) -> dict[str, Any]:
    """Those that are not empty."""
    return {name: value for name, value in members.items() if value is not None and value not in ("", 0, {}, [])}
