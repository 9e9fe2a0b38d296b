"""What can be wrong with the proof's own files: one sentence for the operator, and nothing was changed."""


class ProofTrouble(Exception):
    """A file of the proof is missing, foreign or contradicts another. Says which, what is wrong and what to do."""
