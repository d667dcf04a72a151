"""Applications of the platform's own, beside those that users know."""
