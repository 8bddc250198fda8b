"""Policies: what must be known about an artifact before it may move.

What belongs here: the language (`language.py`: YAML in, typed policy out, every error with its line),
`decide.py` (pure, total, deterministic: policy, subject, verified evidence, waivers and the time in, a
decision with its reasons out), the policies that are shipped (`data/`), the translation to Rego.
What does not: I/O, checks, signatures. A policy sees `Verified[Evidence]` and nothing else.
To add a kind of requirement: a struct in `language.py`, its rule in `requirements.py`, its translation in `rego.py`.
"""
