"""Applications that only tests know."""
