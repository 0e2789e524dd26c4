"""No secrecy: the meaning of the verbs, and the oracle of the other protocols."""
