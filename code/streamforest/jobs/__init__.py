"""The six jobs: each reads, transforms, writes and reports, and knows no application by name."""
