"""Checks of a machine with a GPU, small enough for minutes."""
