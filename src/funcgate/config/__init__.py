"""The configuration: one YAML file, read strictly, into typed and frozen parts that are swapped whole.

It refuses to guess: an unknown key, a second key of the same name or a value of another type is a problem, and every
problem is reported with its file, line and column, all of them at once.
"""
