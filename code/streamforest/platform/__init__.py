"""Checks of the running platform, from inside its network."""
