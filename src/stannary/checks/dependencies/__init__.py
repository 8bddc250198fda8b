"""Dependencies: names that imitate known ones, and versions with published advisories.

What belongs here: version ordering (PEP 440), matching against an offline OSV dump, comparison of
names with the most downloaded projects, and the judge of `requirements.*` facts (rules `DEP0xx`).
What does not: reading files (`formats/requirements_text.py`), fetching advisories, resolving versions.
To add a test of names: a function in `names.py` and a rule file in `checks/static/rules/`.
"""
