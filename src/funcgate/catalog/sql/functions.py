"""Which functions a statement may call unseen, and which ones do harm whoever calls them.

What is not known to be harmless may write, and so makes a call of the statement it is in.
"""

from collections.abc import Sequence

from .harmless import HARMLESS

# Attack: run code, read files, reach other machines, become somebody else, or hide from the record: all from inside a SELECT.
_DANGEROUS = frozenset(
    """
    pg_read_file pg_read_binary_file pg_read_file_old pg_stat_file pg_ls_dir pg_file_write pg_file_read pg_file_rename
    pg_file_unlink pg_file_sync pg_logdir_ls pg_current_logfile pg_hba_file_rules pg_ident_file_mappings
    pg_show_all_file_settings loread lowrite set_config pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile
    pg_rotate_logfile_old pg_promote pg_switch_wal pg_backup_start pg_backup_stop pg_start_backup pg_stop_backup
    pg_wal_replay_pause pg_wal_replay_resume pg_create_restore_point pg_export_snapshot pg_logical_emit_message
    pg_import_system_collations pg_extension_config_dump pg_log_backend_memory_contexts pg_nextoid query_to_xml
    query_to_xml_and_xmlschema query_to_xmlschema cursor_to_xml cursor_to_xmlschema table_to_xml table_to_xmlschema
    table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema database_to_xml
    database_to_xmlschema database_to_xml_and_xmlschema ts_stat xpath_table crosstab crosstab2 crosstab3 crosstab4 crosstabn
    connectby pg_stat_get_activity pg_stat_get_backend_activity pg_execute_server_program pg_read_server_files
    """.split()  # noqa: SIM905 - names without quotes are read more easily
)
_DANGEROUS_STARTS = (
    "lo_", "dblink", "pg_ls_", "binary_upgrade_", "pg_replication_", "pg_logical_slot_", "pg_create_", "pg_drop_", "pg_copy_",
    "pg_stat_reset", "postgres_fdw_", "http_", "plpython", "plperl", "pg_restore_", "pg_clear_",
)  # fmt: skip
_OWN = ("", "pg_catalog")


# Functions of PostgreSQL's own that return rows. One that is not known to be harmless may as well.
_SETS = frozenset(
    """
    aclexplode generate_series generate_subscripts json_array_elements json_array_elements_text json_each json_each_text
    json_object_keys json_populate_recordset json_to_recordset jsonb_array_elements jsonb_array_elements_text jsonb_each
    jsonb_each_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz jsonb_populate_recordset jsonb_to_recordset
    pg_options_to_table pg_snapshot_xip regexp_matches regexp_split_to_table string_to_table ts_debug ts_parse ts_token_type
    unnest
    """.split()  # noqa: SIM905 - names without quotes are read more easily
)


def is_set(name: Sequence[str]) -> bool:
    """Whether what the function is given may decide how many rows there are."""
    return name[-1] in _SETS or not is_harmless(name)


def returns_rows(name: str) -> bool:
    """Whether a function of PostgreSQL's own that has this name returns rows."""
    return name in _SETS


def is_harmless(name: Sequence[str]) -> bool:
    """Whether the function of this (qualified) name is one of PostgreSQL's own that writes nothing."""
    schema = name[-2] if len(name) > 1 else ""
    if schema == "information_schema":
        return name[-1].startswith("_pg_")
    return schema in _OWN and len(name) <= 2 and name[-1] in HARMLESS


def is_dangerous(name: Sequence[str]) -> bool:
    """By its last name alone: the same function may be reached in another schema."""
    return name[-1] in _DANGEROUS or name[-1].startswith(_DANGEROUS_STARTS)


# Relations of the catalogue that hold secrets, or other people's statements and values.
_TELLING = frozenset(
    """
    pg_authid pg_shadow pg_user_mapping pg_user_mappings pg_largeobject pg_statistic pg_statistic_ext_data pg_stats pg_stats_ext
    pg_stats_ext_exprs pg_stat_activity pg_stat_statements pg_prepared_statements pg_cursors pg_hba_file_rules pg_file_settings
    pg_ident_file_mappings pg_subscription pg_foreign_server user_mapping_options pg_config pg_backend_memory_contexts
    """.split()  # noqa: SIM905 - names without quotes are read more easily
)


def is_telling(schema: str, table: str) -> bool:
    # Attack: pg_toast.pg_toast_2619, where long values of pg_statistic are, and those of hidden columns.
    return schema == "pg_toast" or (schema in ("", "pg_catalog", "information_schema") and table in _TELLING)


OPERATORS = frozenset(
    """
    !! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- / < <-> << <<= <<| <= <> <@ <^ = >
    > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/ ~ ~* ~<=~ ~<~ ~= ~>=~ ~>~ ~~ ~~* !=
    """.split()  # noqa: SIM905 - names without quotes are read more easily
)
