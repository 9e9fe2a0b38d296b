"""Looks through a statement that defines something: every table, query and function in it, whatever clause it is in."""

from typing import Any

from .facts import Facts
from .functions import is_dangerous
from .places import Name
from .queries import Queries
from .scope import Scope
from .statement import Source
from .tree import Node, node_of, refused, strings
from .verbs import DDL, NOT_INSIDE, PLAIN_DDL, ROWS

# Kinds of objects that run no code, and belong to nobody but the tables.
_PLAIN_OBJECTS = frozenset(
    {
        "OBJECT_ATTRIBUTE", "OBJECT_COLUMN", "OBJECT_DOMAIN", "OBJECT_DOMCONSTRAINT", "OBJECT_INDEX", "OBJECT_MATVIEW",
        "OBJECT_SCHEMA", "OBJECT_SEQUENCE", "OBJECT_STATISTIC_EXT", "OBJECT_TABCONSTRAINT", "OBJECT_TABLE", "OBJECT_TYPE",
        "OBJECT_VIEW",
    }
)  # fmt: skip
_PLAIN_CHANGES = frozenset(
    {
        "AT_AddColumn", "AT_AddConstraint", "AT_AddIdentity", "AT_AlterColumnType", "AT_AttachPartition", "AT_ClusterOn",
        "AT_ColumnDefault", "AT_DetachPartition", "AT_DropColumn", "AT_DropConstraint", "AT_DropIdentity", "AT_DropNotNull",
        "AT_ResetRelOptions", "AT_SetCompression", "AT_SetIdentity", "AT_SetNotNull", "AT_SetRelOptions",
        "AT_SetStatistics", "AT_SetStorage", "AT_ValidateConstraint",
    }
)  # fmt: skip
_KEYS = ("keys", "including", "fk_attrs", "pk_attrs")


def sweep(fields: Node, facts: Facts, queries: Queries) -> str:
    """Note all that is in the fields. The command of the first definition in them, "" if there is none."""
    found = _Sweep(facts, queries)
    command = found.fields(fields)
    found.look()
    return command


class _Sweep:
    def __init__(self, facts: Facts, queries: Queries) -> None:
        self._facts = facts
        self._queries = queries
        self._scope = Scope()
        self._tables: set[Name] = set()
        self._columns: set[str] = set()
        self._qualified: set[str] = set()

    def look(self) -> None:
        """Note the columns that a definition names, of each table in it.

        Attack: ALTER TABLE people ADD CHECK (ssn <> '…'), CREATE UNIQUE INDEX ON people (ssn): what fails tells. Or RENAME, and
        read it by a name that no policy speaks of.
        """
        for schema, table in self._tables:
            for name in self._columns:
                self._facts.step()
                seen = Source(schema, table, "*" if name == table else name)
                self._facts.saw(frozenset({seen}), filtering=False)
                if name in self._qualified:
                    self._facts.fields.add(seen)

    def fields(self, fields: Node) -> str:
        command = ""
        for name, value in fields.items():
            for item in value if isinstance(value, list) else (value,):
                kind, inner = node_of(item)
                if name[:1].isupper():
                    kind, inner = name, value
                elif not kind and isinstance(item, dict):
                    kind, inner = ("RangeVar", item) if "relname" in item else ("", item)
                    if not kind:
                        self.fields(inner)
                        continue
                if kind:
                    command = command or self._node(kind, inner)
        return command

    def _node(self, kind: str, fields: Node) -> str:
        self._facts.step()
        if kind in NOT_INSIDE:
            raise refused(f"{NOT_INSIDE[kind]} inside of another statement")
        if kind in ROWS:
            for output in self._queries.rows(kind, fields, None):
                self._facts.saw(output.sources, filtering=False)
            return ""
        if kind == "RangeVar":
            self._tables.add((fields.get("schemaname", ""), fields.get("relname", "")))
            temporary = fields.get("relpersistence") == "t"
            self._facts.written(fields.get("schemaname", ""), fields.get("relname", ""), temporary)
            return ""
        if kind == "FuncCall":
            self._facts.called(strings(fields.get("funcname")))
        elif kind == "A_Indirection":
            # Attack: DEFAULT ('/etc/passwd'::text).pg_read_file.
            for step in strings(fields.get("indirection")):
                self._facts.stepped(step, shown=True)
                if is_dangerous((step,)):
                    self._facts.dangers.add(f"function {step}")
        elif kind == "A_Expr":
            self._facts.operated(strings(fields.get("name")))
        self._named(kind, fields)
        command = self._definition(kind, fields)
        self.fields(fields)
        return command

    def _named(self, kind: str, fields: Node) -> None:
        """Note the names of columns right in a node."""
        if kind == "ColumnRef":
            path = strings(fields.get("fields"))
            self._columns.add(path[-1])
            self._qualified |= {path[-1]} if len(path) > 1 else set()
        elif kind == "Constraint":
            self._columns |= {name for part in _KEYS for name in strings(fields.get(part))}
        elif kind in ("IndexElem", "StatsElem", "AlterTableCmd"):
            self._columns |= {fields["name"]} if "name" in fields else set()
        elif kind == "RenameStmt" and "relation" in fields:
            self._columns.add(fields.get("subname", "*"))

    def _definition(self, kind: str, fields: Node) -> str:
        command = DDL.get(kind, "")
        if not command:
            if kind.endswith("Stmt"):
                self._facts.dangers.add(kind.removesuffix("Stmt").upper())
            if kind == "AlterTableCmd" and fields.get("subtype") not in _PLAIN_CHANGES:
                self._facts.dangers.add(f"ALTER TABLE: {str(fields.get('subtype')).removeprefix('AT_')}")
            return ""
        if kind == "GrantStmt" and not fields.get("is_grant"):
            command = "REVOKE"
        told = [fields[name] for name in ("removeType", "renameType", "objtype", "objectType") if name in fields]
        beyond = kind in ("DropStmt", "RenameStmt", "CommentStmt") and not _PLAIN_OBJECTS.issuperset(told)
        if command not in PLAIN_DDL or beyond:
            self._facts.dangers.add(f"{command} {' '.join(_object(one) for one in told)}".strip())
        if kind == "DropStmt" and not beyond:
            for item in fields.get("objects", ()):
                path = strings(node_of(item)[1].get("items")) or strings(node_of(item)[1].get("names"))
                if path:
                    self._facts.written(path[-2] if len(path) > 1 else "", path[-1])
        return command


def _object(name: Any) -> str:
    return str(name).removeprefix("OBJECT_").replace("_", " ")
