"""Which role of the database a caller's statements run with, and what would take it away. Callers choose nothing."""

from collections.abc import Mapping

from msgspec import Struct

from funcgate.catalog.sql import Statement
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused

_ITS_OWN = ("role", "session_authorization")


class Roles(Struct, frozen=True):
    """`groups` maps a group to a role, the first that fits counts. Before it a claim that names one of `among`, at last
    `otherwise`."""

    groups: Mapping[str, str]
    claim: str = ""
    among: frozenset[str] = frozenset()
    otherwise: str = ""

    def of(self, principal: Principal) -> str:
        """Raises `Refused(policy.denied)` for somebody who has none."""
        said = principal.claims.get(self.claim) if self.claim else None
        # Attack: a claim that names the role of the gateway's own credential, or any other that it may take.
        if isinstance(said, str) and said in self.among:
            return said
        found = next((role for group, role in self.groups.items() if group in principal.groups), self.otherwise)
        if not found:
            raise Refused(Code.POLICY_DENIED, private_detail="the caller has no role at this target")
        return found


def check_keeps_role(statement: Statement) -> None:
    """Raises `Refused(policy.denied)` for what would run with another role from here on.

    Attack: SET ROLE NONE, and be whoever the gateway logged in as. DISCARD ALL does it by the way: among other statements, or
    where others follow before the database is ready, nobody could put it back in time.
    """
    args = statement.args
    command, setting = args["command"], args["setting"]
    discards = discards_all(statement)
    sets = command in ("SET", "RESET") and setting in _ITS_OWN
    calls = any(name.rpartition(".")[2] == "set_config" for name in args["functions"])
    writes = any(name.rpartition(".")[2] == "pg_settings" for name in args["writes"])
    if discards or sets or calls or writes or statement.function == "do":
        detail = "The role of this session stays as it is: no SET ROLE, SET SESSION AUTHORIZATION, DISCARD ALL, set_config, DO."
        raise Refused(Code.POLICY_DENIED, detail)


def discards_all(statement: Statement) -> bool:
    return bool(statement.args["command"] == "DISCARD" and statement.args["setting"] == "all")
