"""What a statement says: one struct a predicate type, and one row in `table.py`.

`ours.py` holds the types that are published nowhere else; `published.py` reads those of in-toto, SLSA,
CycloneDX, SPDX and model signing, as far as a gate looks into them. The JSON Schema of ours is made
from the structs (`stannary schema NAME`); unknown fields are kept in what was signed, and ignored.
"""
