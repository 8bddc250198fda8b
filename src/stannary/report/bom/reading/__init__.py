"""What is read from the files of an artifact, in jailed processes (`worker.py`), one small module a kind of file.

Each takes text or bytes and gives plain structs with clipped strings. `gather.py` gives out the work and collects.
"""
