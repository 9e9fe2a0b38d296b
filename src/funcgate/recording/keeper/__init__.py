"""The gateway's child process that follows the journal: proof, index, archive, retention, forwarding, each at its own pace.

It refuses to be on the data path: a call never waits for it, and it never takes a line that is not durable yet.
"""
