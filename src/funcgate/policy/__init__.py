"""Who may call what, with which arguments: policies over functions, principals and typed conditions.

Pure: it waits for nothing, reads no file and no clock. `compile_policies` makes a `PolicySet`, which decides.
"""

from .engine import PolicySet, compile_policies
from .explain import Explanation, PolicyTrace
from .spec import ApprovalSpec, PolicySpec

__all__ = ["ApprovalSpec", "Explanation", "PolicySet", "PolicySpec", "PolicyTrace", "compile_policies"]
