"""Several processes that carry calls, over one record: the gateway's own process keeps it, workers serve the callers."""
