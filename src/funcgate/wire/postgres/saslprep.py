"""SASLprep (RFC 4013) of a password, as PostgreSQL does it: one that may not be prepared is used as it is."""

import stringprep as tables
import unicodedata

_PROHIBITED = (
    tables.in_table_c12, tables.in_table_c21_c22, tables.in_table_c3, tables.in_table_c4, tables.in_table_c5,
    tables.in_table_c6, tables.in_table_c7, tables.in_table_c8, tables.in_table_c9, tables.in_table_a1,
)  # fmt: skip


def saslprep(password: str) -> str:
    """What is hashed in place of the password: the same however it was typed."""
    if password.isascii():
        return password
    mapped = "".join(
        " " if tables.in_table_c12(char) else char for char in password if not tables.in_table_b1(char)
    )  # RFC 4013, 2.1
    prepared = unicodedata.normalize("NFKC", mapped)  # 2.2
    if not prepared or any(prohibited(char) for char in prepared for prohibited in _PROHIBITED):  # 2.3, 2.5
        return password
    return prepared if _reads_one_way(prepared) else password


def _reads_one_way(text: str) -> bool:
    """RFC 3454, section 6: what is written from right to left is all of the text, from its first character to its last."""
    leftward = [tables.in_table_d1(char) for char in text]
    if not any(leftward):
        return True
    return leftward[0] and leftward[-1] and not any(map(tables.in_table_d2, text))
