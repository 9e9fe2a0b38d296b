"""gRPC on both sides: calls, streams of calls, health; gRPC-Web on the callers' side. No library of gRPC's own runs here."""
