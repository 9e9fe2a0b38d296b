"""How long what is recorded is kept: rules, legal holds, and expiry that is recorded before it happens.

It refuses to delete on its own word: what expires is what an entry of the journal says, and what no hold covers.
"""
