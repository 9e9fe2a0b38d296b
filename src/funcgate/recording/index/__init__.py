"""A view of the journal for finding calls: SQLite, built beside the gateway, deleted and rebuilt at will. Never the truth.

It tells which calls match and where their lines are; what they say is read from the journal.
"""
