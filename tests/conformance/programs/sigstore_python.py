"""sigstore-python at bundles of ours. Runs in .venv-oracles; prints a JSON object: bundle → "ok", or why not.

TRUSTED_ROOT.json IDENTITY ISSUER FILE_OR_EMPTY BUNDLE...     without a file the bundles are of statements
"""

import json
import sys
from pathlib import Path

from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy

root, identity, issuer, file, *bundles = sys.argv[1:]
verifier = Verifier(trusted_root=TrustedRoot.from_file(root))
wanted = policy.Identity(identity=identity, issuer=issuer)


def outcome(path):
    try:
        bundle = Bundle.from_json(Path(path).read_bytes())
        if file:
            verifier.verify_artifact(Path(file).read_bytes(), bundle, wanted)
        else:
            verifier.verify_dsse(bundle, wanted)
    except Exception as error:  # noqa: BLE001 - whatever it refuses with is the answer
        return f"{type(error).__name__}: {error}"
    return "ok"


print(json.dumps({path: outcome(path) for path in bundles}))  # noqa: T201 - the answer
