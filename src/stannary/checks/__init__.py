"""Checks: each looks at an artifact and reports what it found. One folder a family.

What belongs here: the `Check` protocol's implementations, their rules and knowledge as data.
What does not: evidence, storage, policy, the network; a check never sees another check.
To add a family: a folder with `interface`-shaped modules and an entry in the `stannary.checks`
entry-point group.
"""
