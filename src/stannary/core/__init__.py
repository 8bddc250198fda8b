"""The vocabulary every room shares.

What belongs here: the frozen types of ARCHITECTURE.md, the error tree, canonical JSON, the clock.
What does not: I/O, decisions, anything that imports more than the standard library and msgspec.
To add a type: one frozen struct in `model.py`, exported in its `__all__`.
"""
