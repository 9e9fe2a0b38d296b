"""One call at the desk: which approval or grant it waits for."""

from msgspec import Struct

from funcgate.core.approval import Approval, Grant
from funcgate.core.call import Call
from funcgate.core.ports import Patience


class Hold(Struct, kw_only=True):
    """Either `approval` or `grant`. `schema` names the function's schema by which the call was read. `new` says that nobody was
    told of the approval yet; `broken_glass` that the call runs at once, on its caller's own word."""

    call: Call
    patience: Patience
    schema: str
    approval: Approval | None = None
    grant: Grant | None = None
    new: bool = False
    broken_glass: bool = False

    @property
    def id(self) -> str:
        """Of the approval; that of the one with which the grant was given."""
        if self.approval is not None:
            return self.approval.id
        return self.grant.approval if self.grant is not None else ""
