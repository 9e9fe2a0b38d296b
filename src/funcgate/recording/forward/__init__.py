"""The record as it grows, sent on: syslog, webhooks, OpenTelemetry. One chore for each destination, at its own pace.

At least once, and never less masked than the journal. Nothing waits for a destination but its own chore.
"""
