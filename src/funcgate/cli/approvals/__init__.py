"""The verbs of `funcgate approvals`: held calls of a running gateway, over its admin API, with the token of whoever asks."""
