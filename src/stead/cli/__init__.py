"""The command line: thin commands over ``stead.node`` and ``stead.client``."""
