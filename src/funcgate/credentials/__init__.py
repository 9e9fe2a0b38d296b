"""What a target is let in with: secrets read from the environment or a file, lent for one use.

Callers never see them. Refuses secrets that could not be sent safely or not be scrubbed from an answer.
"""

from .broker import Broker
from .spec import CredentialSpec

__all__ = ["Broker", "CredentialSpec"]
