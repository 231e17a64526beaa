"""Slice 3: the printed form (RIDE) of an authorized document."""
