"""securesystemslib and in-toto's attestation library at our envelopes, and at their own. Runs in .venv-oracles; prints JSON.

read FILE KEY.pem     what they make of an envelope
write FILE            an envelope by them, about a dirHash1 subject; prints the PEM of its key
"""

import json
import sys
from pathlib import Path

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

# Predicates that their library has a type for: ours has to fit it. Their VSA (0.9.3) takes one text for `verifiedLevels`, which
# is a list in the specification, so it is no oracle for ours.
TYPES = {
    "https://slsa.dev/provenance/v1": provenance_pb2.Provenance,
    "https://in-toto.io/attestation/test-result/v0.1": test_result_pb2.TestResult,
}
IN_TOTO = "application/vnd.in-toto+json"


def read(file, key_file):
    envelope = Envelope.from_dict(json.loads(Path(file).read_text()))
    pem = Path(key_file).read_bytes()
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = SSlibKey.from_crypto(load_pem_public_key(pem), keyid=next(iter(envelope.signatures)))
    try:
        names = sorted(envelope.verify([key], 1))
    except VerificationError as error:
        return {"verified": False, "error": str(error)}
    found = json_format.Parse(envelope.payload, statement_pb2.Statement())
    Statement.copy_from_pb(found).validate()
    if found.predicate_type in TYPES:
        predicate = json_format.MessageToDict(found.predicate)
        json_format.ParseDict(predicate, TYPES[found.predicate_type](), ignore_unknown_fields=True)
    subject = found.subject[0]
    return {
        "verified": True,
        "keys": len(names),
        "payloadType": envelope.payload_type,
        "predicateType": found.predicate_type,
        "subject": dict(subject.digest),
        "name": subject.name,
    }


def write(file):
    signer = CryptoSigner.generate_ecdsa()
    subject = ResourceDescriptor(name="claims", digest={"dirHash1": "5f" * 32})
    configuration = ResourceDescriptor(name="tests", digest={"sha256": "2c" * 32})
    content = {"result": "PASSED", "configuration": [json_format.MessageToDict(configuration.pb)], "passedTests": ["accuracy"]}
    statement = Statement([subject.pb], "https://in-toto.io/attestation/test-result/v0.1", content)
    statement.validate()
    payload = json_format.MessageToJson(statement.pb).encode()
    envelope = Envelope(payload, IN_TOTO, {})
    envelope.sign(signer)
    Path(file).write_text(json.dumps(envelope.to_dict()))
    return {"pem": signer.public_key.keyval["public"]}


print(json.dumps(read(*sys.argv[2:]) if sys.argv[1] == "read" else write(sys.argv[2])))  # noqa: T201 - the answer
