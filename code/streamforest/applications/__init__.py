"""The applications: each package holds a definition, pure functions and one object ``APPLICATION``."""
