"""Imported before gRPC: tests only execute other programs, and its handlers of forks now and then took such a child down."""

import os

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
