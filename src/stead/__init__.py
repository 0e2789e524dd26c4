"""stead: compute on data that stays with its owner."""
