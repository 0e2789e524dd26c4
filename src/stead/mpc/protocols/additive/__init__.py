"""Additive sharing: any number of parties, each one summand; sums only. The path of aggregation."""
