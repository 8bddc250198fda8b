"""Robustness: a model is attacked, with budgets that are counted and results that are checked.

What belongs here: the attack engine, attacks on inputs (evasion), cascades and presets, the checker of every
claimed success, the report on masked gradients, brittleness of trees, replay of stored examples.
What does not: loading models and data (`checks/target/`), evidence, policy, plots (`report/evaluation/`).
To add an attack: a class in `attacks/` that follows `engine.Attack` (hyper-parameters in `__init__`, state in
`Rows`, under 150 lines), a row in `attacks/__init__.py`, and a test against an oracle that shares no code with it.
"""
