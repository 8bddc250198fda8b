"""Any sequence of what can be done to a blob store, beside a dictionary that does the same."""

import hashlib
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stannary.core.errors import InputError, IntegrityError
from stannary.core.model import Digest
from stannary.crypto.envelope import Envelopes
from stannary.crypto.wrapping import WrappingKey
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.folder import FolderObjects
from stannary.store.blobs.plain import PlainBlobs
from stannary.testing.blob_memory import MemoryObjects

CONTENTS = [b"", b"x", b"tin" * 5461 + b"!", b"a" * 16384, bytes(range(256)) * 200]
WHICH = st.integers(0, len(CONTENTS) - 1)


def of(content):
    return Digest(hashlib.sha256(content).hexdigest())


class Store(RuleBasedStateMachine):
    """A store in memory or in a folder, as it is or encrypted; the key of the encrypted one is turned now and then."""

    @initialize(folder=st.booleans(), encrypted=st.booleans())
    def begin(self, folder, encrypted):
        self.scratch = tempfile.TemporaryDirectory() if folder else None
        self.objects = FolderObjects(Path(self.scratch.name) / "blobs") if folder else MemoryObjects()
        self.key, self.encrypted, self.there = WrappingKey.generate(), encrypted, {}
        self.open()

    def open(self, former=()):
        self.blobs = EncryptedBlobs(self.objects, Envelopes([self.key], former)) if self.encrypted else PlainBlobs(self.objects)

    @rule(which=WHICH, cut=st.integers(0, 60_000))
    def put(self, which, cut):
        content = CONTENTS[which]
        made = self.blobs.put(of(content), len(content), [content[:cut], content[cut:]])
        assert made == (which not in self.there)
        self.there[which] = content

    @rule(which=WHICH, other=WHICH)
    def put_something_else(self, which, other):
        if which in self.there or which == other:
            return
        try:
            self.blobs.put(of(CONTENTS[which]), len(CONTENTS[which]), [CONTENTS[other]])
        except IntegrityError:
            return
        raise AssertionError

    @rule(which=WHICH)
    def delete(self, which):
        assert self.blobs.delete(of(CONTENTS[which])) == (self.there.pop(which, None) is not None)

    @rule(which=WHICH, offset=st.integers(0, 60_000), length=st.none() | st.integers(0, 60_000))
    def read(self, which, offset, length):
        content = CONTENTS[which]
        if which not in self.there:
            for call in (self.blobs.read, self.blobs.size):
                try:
                    call(of(content))
                except InputError:
                    continue
                raise AssertionError
            return
        offset = min(offset, len(content))
        wanted = content[offset:] if length is None else content[offset : offset + length]
        assert b"".join(self.blobs.read(of(content), offset, length)) == wanted

    @precondition(lambda self: self.encrypted)
    @rule()
    def turn_the_key(self):
        old, self.key = self.key, WrappingKey.generate()
        self.open(former=[old])
        for digest in list(self.blobs.outdated()):
            assert self.blobs.rewrap(digest)
        self.open()

    @precondition(lambda self: self.encrypted)
    @rule()
    def tidy(self):
        self.blobs.tidy(datetime.now(UTC) + timedelta(minutes=1))

    @rule()
    def open_again(self):
        self.objects.close()
        if self.scratch:
            self.objects = FolderObjects(self.objects.root)
        self.open()

    @invariant()
    def what_is_listed_is_what_is_there(self):
        if not hasattr(self, "there"):
            return
        assert {(digest, size) for digest, size, _ in self.blobs.digests()} == {(of(c), len(c)) for c in self.there.values()}
        for which, content in enumerate(CONTENTS):
            assert self.blobs.has(of(content)) == (which in self.there)

    def teardown(self):
        if getattr(self, "scratch", None):
            self.scratch.cleanup()


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
