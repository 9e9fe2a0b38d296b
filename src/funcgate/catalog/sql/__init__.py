"""SQL as functions: what a text calls, on which tables, with which functions in it, from PostgreSQL's own parser.

Refuses what it cannot parse and every kind of statement that is not in its tables.
"""

from .asked import RELATIONS_SQL
from .catalog import SqlCatalog, load_sql
from .handles import shakes, standing_for
from .lineage import origins
from .relations import Relations
from .specs import QuerySpec, SqlFunctionsSpec
from .statement import Described, Handle, Output, Source, Statement
from .template import own_text
from .verbs import FUNCTIONS as STATEMENTS

__all__ = [
    "RELATIONS_SQL",
    "STATEMENTS",
    "Described",
    "Handle",
    "Output",
    "QuerySpec",
    "Relations",
    "Source",
    "SqlCatalog",
    "SqlFunctionsSpec",
    "Statement",
    "load_sql",
    "origins",
    "own_text",
    "shakes",
    "standing_for",
]
