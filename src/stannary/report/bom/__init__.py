"""The AI bill of materials: what a model is made of, from its files, its papers and its signed evidence.

    reading/      what is read from files, in the jail: headers, model cards, configurations, locks, imports
    inventory.py  the typed inventory: models, files, data, packages, licences; every fact with its source
    from_*.py     how the inventory is put together from answers of readers, and from signed evidence
    cyclonedx*.py, spdx*.py   the inventory as a document
    validate.py   anybody's document against the published schemas, with our own checks; `diff.py`, `score.py`

Nothing is invented: what no source says is missing, and `score.py` tells where to put it. Text of files is hostile.
To add a fact: read it in `reading/`, keep it in `inventory.py` with its source, write it in both formats.
"""
