"""State that needs transactions, in SQL: SQLAlchemy Core, SQLite embedded. It holds no journal and no content of answers."""

from .approvals import SqlApprovals
from .database import Database

__all__ = ["Database", "SqlApprovals"]
