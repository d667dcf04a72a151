"""Benchmarks: what the project claims about speed and quality, measured anew on the machine at hand."""
