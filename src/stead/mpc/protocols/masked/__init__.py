"""Masked sharing: a third party deals masks ahead of time, two compute online. The fast path; see ``protocol``."""
