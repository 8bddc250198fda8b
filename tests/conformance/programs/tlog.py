"""aics-tlog and pymerkle at our logs and at their own. Runs in .venv-oracles; prints JSON.

read FOLDER LOG_KEY WITNESS_KEY    read an export: checkpoint, quorum of one, every tile and bundle, proofs from tiles
write FOLDER COUNT                 make a log, a witness's signature and tiles by aics-tlog alone
heads COUNT                        roots and inclusion proofs of pymerkle for all sizes up to COUNT
"""

import json
import sys
import warnings
from pathlib import Path

import aics_tlog as tlog
import pymerkle
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def read(folder, log_key, witness_key):
    reader = tlog.FileSystemTileReader(folder)
    note = tlog.parse_note(Path(folder, "checkpoint").read_bytes())
    head = tlog.verify_checkpoint(note, tlog.parse_vkey(log_key), [tlog.parse_vkey(witness_key)], quorum=1)
    if not head.ok:
        return {"error": head.error}
    audit = tlog.audit_tiles(reader, head.size, head.root)
    indexes = sorted({0, 1, 255, 256, head.size // 2, head.size - 1} & set(range(head.size)))
    proofs = {index: tlog.inclusion_proof_from_tiles(reader, index, head.size) for index in indexes}
    entries = {index: tlog.read_entry(reader, index, head.size) for index in indexes}
    for index in indexes:
        if not tlog.verify_leaf_inclusion(entries[index], index, head.size, proofs[index], head.root):
            return {"error": f"entry {index} is not included"}
    old = max(1, head.size // 3)
    consistency = tlog.consistency_proof_from_tiles(reader, old, head.size)
    return {
        "size": head.size,
        "root": tlog.tree_root_from_tiles(reader, head.size).hex(),
        "tiles": audit.tiles,
        "bundles": audit.bundles,
        "witnesses": head.witnesses,
        "proofs": {index: [item.hex() for item in proof] for index, proof in proofs.items()},
        "entries": {index: entry.decode() for index, entry in entries.items()},
        "consistency": [old, [item.hex() for item in consistency]],
    }


def write(folder, count):
    leaves = [b"entry %d" % n for n in range(int(count))]
    key, witness = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    tree = tlog.MerkleTree(leaves)
    tlog.tiles.write_tiles(leaves, folder)
    note = tlog.sign_checkpoint(tlog.Checkpoint("their.example/log", len(leaves), tree.root()), key, "their.example/log")
    _, line = tlog.sign_cosignature(witness, "their.example/witness", 1767000000, "their.example/log", len(leaves), tree.root())
    return {
        "note": tlog.Note(text=note.text, signatures=(*note.signatures, line)).serialise(),
        "log": tlog.format_vkey(tlog.vkey_from_ed25519("their.example/log", key.public_key())),
        "witness": tlog.format_vkey(tlog.cosignature_vkey("their.example/witness", witness.public_key())),
        "proofs": [[item.hex() for item in tree.inclusion_proof(index)] for index in range(len(leaves))],
        "roots": [tree.root(size).hex() for size in range(len(leaves) + 1)],
        "consistency": [[item.hex() for item in tree.consistency_proof(size)] for size in range(len(leaves) + 1)],
    }


def heads(count):
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    found = []
    for size in range(1, int(count) + 1):
        tree.append_entry(b"%d" % (size - 1))
        proofs = [tree.prove_inclusion(index, size).serialize()["path"][1:] for index in range(1, size + 1)]
        found.append({"root": tree.get_root(size).hex(), "proofs": proofs})
    return found


if __name__ == "__main__":
    warnings.simplefilter("error")
    command, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps({"read": read, "write": write, "heads": heads}[command](*arguments)))
