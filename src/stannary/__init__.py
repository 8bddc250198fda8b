"""stannary assays machine-learning models, stamps what it found, and lets nothing unstamped into service."""

__version__ = "0.1.0"
