"""Bit kernels: packing bits of many values into words and back."""

from __future__ import annotations

from stead.mpc.kernels.bits_reference import from_planes, to_planes, unpack

__all__ = ["from_planes", "to_planes", "unpack"]
