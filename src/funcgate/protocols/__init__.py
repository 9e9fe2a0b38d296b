"""Protocols: the I/O between callers, the one way through, and targets. One folder for each protocol."""
