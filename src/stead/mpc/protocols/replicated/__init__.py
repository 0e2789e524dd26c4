"""Replicated sharing: three parties, each two of three summands; one corrupted party that follows the protocol."""
