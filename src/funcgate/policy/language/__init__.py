"""CEL, the Common Expression Language (google/cel-spec): lexer, parser, type checker, compiler to closures.

Small and exact. It has no messages, no macros of its own and no way to run unbounded.
"""
