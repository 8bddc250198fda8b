"""Judge bills of materials with the libraries of CycloneDX and SPDX: one JSON row a line in, one verdict a line out.

Run by tests/conformance/test_bom.py in .venv-oracles. A row: {"format": "1.6" | "1.7" | "spdx", "text": ...}.
"""

import io
import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_python_model import v3_0_1 as spdx

VALIDATORS = {"1.4": SchemaVersion.V1_4, "1.5": SchemaVersion.V1_5, "1.6": SchemaVersion.V1_6, "1.7": SchemaVersion.V1_7}


def judged(row):
    if row["format"] == "spdx":
        found = spdx.SHACLObjectSet()
        try:
            spdx.JSONLDDeserializer().read(io.BytesIO(row["text"].encode()), found)
        except Exception as error:  # noqa: BLE001 - whatever it raises is its verdict
            return {"problem": f"{type(error).__name__}: {error}"}
        found.link()
        kinds = sorted({type(item).__name__ for item in found.foreach()})
        return {"problem": "", "kinds": kinds, "missing": sorted(found.missing_ids)}
    problem = JsonStrictValidator(VALIDATORS[row["format"]]).validate_str(row["text"])
    return {"problem": "" if problem is None else str(problem)[:300]}


for line in sys.stdin:
    sys.stdout.write(json.dumps(judged(json.loads(line))) + "\n")
