"""Which function each kind of statement is. What is in no table here is refused."""

from collections.abc import Mapping

# By the parser's node. Statements that read and write rows, COPY, SET, EXPLAIN and transactions are judged one by one in
# analyse.py.
DDL: Mapping[str, str] = {
    "AlterCollationStmt": "ALTER COLLATION", "AlterDatabaseRefreshCollStmt": "ALTER DATABASE",
    "AlterDatabaseSetStmt": "ALTER DATABASE SET", "AlterDatabaseStmt": "ALTER DATABASE",
    "AlterDefaultPrivilegesStmt": "ALTER DEFAULT PRIVILEGES", "AlterDomainStmt": "ALTER DOMAIN",
    "AlterEnumStmt": "ALTER TYPE", "AlterEventTrigStmt": "ALTER EVENT TRIGGER",
    "AlterExtensionContentsStmt": "ALTER EXTENSION", "AlterExtensionStmt": "ALTER EXTENSION",
    "AlterFdwStmt": "ALTER FOREIGN DATA WRAPPER", "AlterForeignServerStmt": "ALTER SERVER",
    "AlterFunctionStmt": "ALTER FUNCTION", "AlterObjectDependsStmt": "ALTER DEPENDS",
    "AlterObjectSchemaStmt": "ALTER SET SCHEMA", "AlterOpFamilyStmt": "ALTER OPERATOR FAMILY",
    "AlterOperatorStmt": "ALTER OPERATOR", "AlterOwnerStmt": "ALTER OWNER", "AlterPolicyStmt": "ALTER POLICY",
    "AlterPublicationStmt": "ALTER PUBLICATION", "AlterRoleSetStmt": "ALTER ROLE SET", "AlterRoleStmt": "ALTER ROLE",
    "AlterSeqStmt": "ALTER SEQUENCE", "AlterStatsStmt": "ALTER STATISTICS", "AlterSubscriptionStmt": "ALTER SUBSCRIPTION",
    "AlterSystemStmt": "ALTER SYSTEM", "AlterTSConfigurationStmt": "ALTER TEXT SEARCH",
    "AlterTSDictionaryStmt": "ALTER TEXT SEARCH", "AlterTableMoveAllStmt": "ALTER TABLE MOVE",
    "AlterTableSpaceOptionsStmt": "ALTER TABLESPACE", "AlterTableStmt": "ALTER TABLE", "AlterTypeStmt": "ALTER TYPE",
    "AlterUserMappingStmt": "ALTER USER MAPPING", "CommentStmt": "COMMENT", "CompositeTypeStmt": "CREATE TYPE",
    "CreateAmStmt": "CREATE ACCESS METHOD", "CreateCastStmt": "CREATE CAST", "CreateConversionStmt": "CREATE CONVERSION",
    "CreateDomainStmt": "CREATE DOMAIN", "CreateEnumStmt": "CREATE TYPE", "CreateEventTrigStmt": "CREATE EVENT TRIGGER",
    "CreateExtensionStmt": "CREATE EXTENSION", "CreateFdwStmt": "CREATE FOREIGN DATA WRAPPER",
    "CreateForeignServerStmt": "CREATE SERVER", "CreateForeignTableStmt": "CREATE FOREIGN TABLE",
    "CreateFunctionStmt": "CREATE FUNCTION", "CreateOpClassStmt": "CREATE OPERATOR CLASS",
    "CreateOpFamilyStmt": "CREATE OPERATOR FAMILY", "CreatePLangStmt": "CREATE LANGUAGE",
    "CreatePolicyStmt": "CREATE POLICY", "CreatePublicationStmt": "CREATE PUBLICATION", "CreateRangeStmt": "CREATE TYPE",
    "CreateRoleStmt": "CREATE ROLE", "CreateSchemaStmt": "CREATE SCHEMA", "CreateSeqStmt": "CREATE SEQUENCE",
    "CreateStatsStmt": "CREATE STATISTICS", "CreateStmt": "CREATE TABLE", "CreateSubscriptionStmt": "CREATE SUBSCRIPTION",
    "CreateTableAsStmt": "CREATE TABLE AS", "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "CreateTransformStmt": "CREATE TRANSFORM", "CreateTrigStmt": "CREATE TRIGGER",
    "CreateUserMappingStmt": "CREATE USER MAPPING", "CreatedbStmt": "CREATE DATABASE", "DefineStmt": "CREATE OBJECT",
    "DropOwnedStmt": "DROP OWNED", "DropRoleStmt": "DROP ROLE", "DropStmt": "DROP",
    "DropSubscriptionStmt": "DROP SUBSCRIPTION", "DropTableSpaceStmt": "DROP TABLESPACE",
    "DropUserMappingStmt": "DROP USER MAPPING", "DropdbStmt": "DROP DATABASE", "GrantRoleStmt": "GRANT ROLE",
    "GrantStmt": "GRANT", "ImportForeignSchemaStmt": "IMPORT FOREIGN SCHEMA", "IndexStmt": "CREATE INDEX",
    "LoadStmt": "LOAD", "ReassignOwnedStmt": "REASSIGN OWNED", "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
    "RenameStmt": "ALTER RENAME", "RuleStmt": "CREATE RULE", "SecLabelStmt": "SECURITY LABEL", "ViewStmt": "CREATE VIEW",
}  # fmt: skip

# What a guarded target lets policies allow. All other DDL runs code, changes who may do what, or reaches beyond the database.
PLAIN_DDL = frozenset(
    {
        "ALTER DOMAIN", "ALTER RENAME", "ALTER SEQUENCE", "ALTER STATISTICS", "ALTER TABLE", "ALTER TYPE", "COMMENT",
        "CREATE DOMAIN", "CREATE INDEX", "CREATE SCHEMA", "CREATE SEQUENCE", "CREATE STATISTICS", "CREATE TABLE",
        "CREATE TABLE AS", "CREATE TYPE", "CREATE VIEW", "DROP", "REFRESH MATERIALIZED VIEW",
    }
)  # fmt: skip

MAINTAIN: Mapping[str, str] = {
    "CheckPointStmt": "CHECKPOINT", "ClusterStmt": "CLUSTER", "ReindexStmt": "REINDEX", "VacuumStmt": "VACUUM",
    "RepackStmt": "REPACK",
}  # fmt: skip

# Functions of their own: the statement's command.
OTHERS: Mapping[str, tuple[str, str]] = {
    "CallStmt": ("call", "CALL"), "DoStmt": ("do", "DO"), "ListenStmt": ("listen", "LISTEN"),
    "UnlistenStmt": ("listen", "UNLISTEN"), "NotifyStmt": ("notify", "NOTIFY"), "LockStmt": ("lock", "LOCK"),
    "TruncateStmt": ("truncate", "TRUNCATE"), "VariableShowStmt": ("show", "SHOW"),
    "ConstraintsSetStmt": ("transaction", "SET CONSTRAINTS"), "DeallocateStmt": ("deallocate", "DEALLOCATE"),
    "ClosePortalStmt": ("cursor", "CLOSE"),
}  # fmt: skip

ROWS: Mapping[str, str] = {
    "SelectStmt": "select", "InsertStmt": "insert", "UpdateStmt": "update", "DeleteStmt": "delete", "MergeStmt": "merge",
}  # fmt: skip

# Statements about names of the session's: not inside of another statement, where they would be judged as that one.
NOT_INSIDE: Mapping[str, str] = {
    "PrepareStmt": "PREPARE", "ExecuteStmt": "EXECUTE", "DeclareCursorStmt": "DECLARE CURSOR", "FetchStmt": "FETCH",
}  # fmt: skip

# Settings that change what a text means, or hide what is done. Attack: turn a backslash into an escape, so that what was judged
# as a string ends elsewhere.
LEXICAL = frozenset(
    {"standard_conforming_strings", "backslash_quote", "client_encoding", "transform_null_equals", "names"}
)
PERSONAL = frozenset({"role", "session_authorization", "is_superuser", "session_replication_role", "row_security"})
PLAIN_SETTINGS = frozenset(
    """
    bytea_output client_min_messages datestyle default_transaction_deferrable default_transaction_isolation
    default_transaction_read_only extra_float_digits idle_in_transaction_session_timeout idle_session_timeout intervalstyle
    lock_timeout statement_timeout timezone transaction_deferrable transaction_isolation transaction_read_only work_mem
    xmloption enable_hashagg enable_hashjoin enable_indexscan enable_mergejoin enable_nestloop enable_seqscan enable_sort
    geqo jit random_page_cost plan_cache_mode default_text_search_config hash_mem_multiplier lc_messages
    """.split()  # noqa: SIM905 - names without quotes are read more easily
)

READS = ("select", "copy_out", "explain", "show")
FUNCTIONS: Mapping[str, str] = {
    "select": "SELECT, VALUES, TABLE that write nothing and call only functions that are known to write nothing",
    "insert": "INSERT without ON CONFLICT DO UPDATE",
    "upsert": "INSERT … ON CONFLICT DO UPDATE",
    "update": "UPDATE",
    "delete": "DELETE",
    "merge": "MERGE",
    "mixed": "one statement that writes in several ways, such as a DELETE inside of an INSERT",
    "lock": "LOCK TABLE, SELECT … FOR UPDATE and its kin",
    "truncate": "TRUNCATE",
    "call": "CALL, and statements that call functions which may write",
    "do": "DO",
    "copy_out": "COPY … TO STDOUT",
    "copy_in": "COPY … FROM STDIN",
    "copy_file": "COPY with a file or a program of the server",
    "ddl": "CREATE, ALTER, DROP, GRANT, REVOKE, COMMENT, SELECT INTO and the like",
    "maintain": "VACUUM, ANALYZE, REINDEX, CLUSTER, CHECKPOINT",
    "explain": "EXPLAIN without ANALYZE",
    "show": "SHOW",
    "set": "SET, RESET, DISCARD",
    "transaction": "BEGIN, COMMIT, ROLLBACK, savepoints, SET TRANSACTION",
    "listen": "LISTEN, UNLISTEN",
    "notify": "NOTIFY",
    "cursor": "CLOSE; FETCH, MOVE and EXECUTE are the statement that their name stands for",
    "deallocate": "DEALLOCATE",
}
