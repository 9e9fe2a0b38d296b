"""State that needs transactions, in SQL: SQLAlchemy Core, SQLite embedded. It holds no journal and no content of answers."""

from .approvals import SqlApprovals
from .database import Database, rekey
from .revocations import SqlRevocations

__all__ = ["Database", "SqlApprovals", "SqlRevocations", "rekey"]
