"""The audit from outside: epsilon from below, from what mechanisms show on two neighbouring tables. No I/O."""
