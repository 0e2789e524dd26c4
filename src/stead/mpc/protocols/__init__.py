"""The protocols: one folder each, the same file names in each (``protocol``, ``costs``, and what they need)."""
