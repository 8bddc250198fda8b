"""An example of every kind of evidence, for tests and for whoever writes a plug-in: predicates as JSON."""

from __future__ import annotations

from stannary.core.model import Json

__all__ = ["EXAMPLES", "SUBJECT_HEX"]

SUBJECT_HEX = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
_DATA_HEX = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
_WHEN = "2026-11-20T09:30:00Z"
_BEFORE = "2026-11-20T09:29:12Z"
_DATA = {"name": "claims-2026q3.parquet", "digest": {"dirHash1": _DATA_HEX}}
_RESULT = {
    "metric": "robust_accuracy",
    "value": 0.71,
    "interval": {"low": 0.68, "high": 0.74, "level": 0.95},
    "sampleSize": 1000,
    "seed": 7,
    "comparator": ">=",
    "threshold": 0.6,
    "passed": True,
}

EXAMPLES: dict[str, dict[str, Json]] = {
    "model-scan": {
        "check": {"id": "static-scan", "version": "0.1.0", "ruleset": f"sha256:{_DATA_HEX}"},
        "outcome": "failed",
        "verdict": "unsafe",
        "counts": {"critical": 1, "high": 0, "medium": 0, "low": 2, "info": 0},
        "findings": [
            {
                "rule": "PKL001",
                "severity": "critical",
                "file": "model.pkl",
                "offset": 12,
                "message": "calls posix.system with 'echo'",
                "fingerprint": "6f1ed002ab5595859014ebf0951522d9",
            }
        ],
        "omitted": 2,
        "files": 3,
        "bytes": 2147483648,
        "environment": {"python": "3.11.7", "platform": "linux", "jail": "landlock"},
        "startedOn": _BEFORE,
        "finishedOn": _WHEN,
    },
    "eval-result": {
        "check": {"id": "robustness", "version": "1.2", "parameters": {"preset": "gate", "norm": "Linf", "eps": 0.03}},
        "outcome": "passed",
        "results": [_RESULT],
        "inputs": [_DATA],
        "queries": 120000,
        "finishedOn": _WHEN,
        "expiresOn": "2027-02-20T00:00:00Z",
    },
    "dataset-check": {
        "check": {"id": "poisoning", "version": "1.0"},
        "outcome": "passed",
        "results": [{**_RESULT, "metric": "label_error_rate", "value": 0.01, "interval": {"low": 0.005, "high": 0.016}}],
        "counts": {"critical": 0, "high": 0, "medium": 0, "low": 1, "info": 0},
        "findings": [{"rule": "DAT003", "severity": "low", "file": "claims.parquet", "message": "12 duplicated rows"}],
        "rows": 48000,
        "finishedOn": _WHEN,
    },
    "training-run": {
        "outcome": "passed",
        "edges": [{"relation": "trained-from", "resource": _DATA}],
        "code": [
            {"uri": "git+ssh://git.example.com/ml/claims", "digest": {"gitCommit": "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"}}
        ],
        "uncommitted": [
            {
                "commit": "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
                "digest": {"sha256": "bf000aab42041f931036a83eb101e8e5d07a2de3df28c0ae4ec6baaaa72a7990"},
                "files": [{"path": "old.py"}, {"path": "train.py", "sha256": _DATA_HEX}],
            }
        ],
        "parameters": {"learning_rate": 0.001, "epochs": 20, "optimizer": "adam"},
        "packages": {"torch": "2.13.0", "numpy": "2.4.0"},
        "seeds": {"torch": 7, "numpy": 7},
        "hardware": {"cpu": "x86_64", "cores": 16, "accelerators": ["H100"]},
        "environment": {"python": "3.11.7", "platform": "linux"},
        "metrics": {"validation_accuracy": 0.93},
        "startedOn": _BEFORE,
        "finishedOn": _WHEN,
    },
    "lineage": {
        "edges": [{"relation": "fine-tuned-from", "resource": {"name": "base", "digest": {"dirHash1": _DATA_HEX}}}],
        "finishedOn": _WHEN,
    },
    "statement": {
        "topic": "approval",
        "statement": "tested on the claims of the third quarter",
        "author": "ann@example.com",
        "decision": "approve",
        "finishedOn": _WHEN,
        "expiresOn": "2027-02-20T00:00:00Z",
    },
    "waiver": {
        "rule": "PKL050",
        "file": "model.pkl",
        "reason": "our own class, reviewed",
        "owner": "ml-platform@example.com",
        "finishedOn": _WHEN,
        "expiresOn": "2027-01-20T00:00:00Z",
    },
    "incident": {
        "id": "INC-7",
        "title": "extraction attempt on the scoring endpoint",
        "severity": "high",
        "state": "contained",
        "detail": "40,000 near-boundary queries from one tenant",
        "finishedOn": _WHEN,
    },
    "response-action": {
        "incident": "INC-7",
        "action": "rate-limited the tenant",
        "outcome": "passed",
        "actor": "playbook:extraction",
        "finishedOn": _WHEN,
    },
    "privacy-spend": {
        "mechanism": "dp-sgd",
        "epsilon": 2.9,
        "delta": 1e-05,
        "accountant": "prv",
        "gaussian": {"noiseMultiplier": 1.1, "samplingRate": 0.01, "steps": 3000},
        "limit": {"epsilon": 8.0},
        "model": _DATA,
        "finishedOn": _WHEN,
    },
    "revocation": {"reason": "consent withdrawn for part of the data", "owner": "dpo@example.com", "finishedOn": _WHEN},
    "slsa-provenance": {
        "buildDefinition": {
            "buildType": "https://example.com/training/v1",
            "externalParameters": {"config": "train.yaml"},
            "resolvedDependencies": [
                {"uri": "git+https://example.com/ml", "digest": {"gitCommit": "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"}}
            ],
        },
        "runDetails": {"builder": {"id": "https://example.com/builder"}, "metadata": {"finishedOn": _WHEN}},
    },
    "test-result": {
        "result": "PASSED",
        "configuration": [{"name": "tests", "digest": {"sha256": _DATA_HEX}}],
        "passedTests": ["test_accuracy", "test_latency"],
        "warnedTests": [],
        "failedTests": [],
    },
    "vuln": {
        "scanner": {
            "uri": "pkg:pypi/pip-audit@2.9.0",
            "version": "2.9.0",
            "db": {"uri": "https://osv.dev", "lastUpdate": _BEFORE},
            "result": [{"id": "CVE-2024-0001", "severity": [{"method": "nvd", "score": "5.4"}]}],
        },
        "metadata": {"scanStartedOn": _BEFORE, "scanFinishedOn": _WHEN},
    },
    "vsa": {
        "verifier": {"id": "urn:stannary:gate", "version": {"stannary": "0.1.0"}},
        "timeVerified": _WHEN,
        "resourceUri": "claims",
        "policy": {"uri": "urn:stannary:policy:production", "digest": {"sha256": _DATA_HEX}},
        "inputAttestations": [{"digest": {"sha256": _DATA_HEX}}],
        "verificationResult": "PASSED",
        "verifiedLevels": [],
    },
    "cyclonedx": {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []},
    "spdx": {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": []},
    "model-signature": {
        "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []},
        "resources": [{"name": "model.pkl", "algorithm": "sha256", "digest": _DATA_HEX}],
    },
}
