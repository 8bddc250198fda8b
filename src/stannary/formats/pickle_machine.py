"""A symbolic pickle machine: every opcode of protocols 0-5, stack, marks, memo, extension registry.

It imports and calls nothing. It reads linearly: frames are hints that CPython's C unpickler
ignores and its Python unpickler only enforces, so the linear reading covers both. It is as
permissive as the most permissive loader, so whatever a loader reaches, it reaches.

The hot loop handles the opcodes of real pickles inline and leaves the rest to a table: a call
costs more than the work. Content is read through a window of bytes; long strings are skipped by
their length, so a gigabyte of arrays costs its opcodes only.

Reference: CPython `Lib/pickletools.py` and `Modules/_pickle.c` (3.11-3.14).
"""

from __future__ import annotations

import struct
import sys
from typing import Any

from stannary.core.errors import FormatError, Truncated
from stannary.formats.interface import Budget, forget
from stannary.formats.pickle_embedded import OPENERS, SHORTEST, may_open, short_pickle, unmarked_pickle
from stannary.formats.pickle_glance import line_end
from stannary.formats.pickle_joblib import layout_of
from stannary.formats.pickle_opcodes import HANDLERS
from stannary.formats.pickle_record import Recorder
from stannary.formats.pickle_values import DROPPED, Blob, Opaque

__all__ = ["Machine"]

_WINDOW = 1 << 18
_OFTEN = 63  # windows, less one, after which the pages of a mapped file are let go
_ARGUMENT = 32  # bytes that an argument taken inline has at most, and the opcode behind it
_MARGIN = 600  # no inline opcode with its argument is longer
_TEXT = 24  # shorter strings hold no encoded payload: kept without a further look
_SHORT = _TEXT + 2  # of a text with its length: it is not looked at
_PICKLE = b"\x80\x04N."  # how one that opens with no magic is told on
_KEEP = 4096  # strings and bytes up to this length are kept as they are
_GAP = 1 << 16  # memo indices may leave holes up to this size
_BLOCKS = 3_000_000  # small objects alive; some 64 bytes each
_LINE = 16 << 20  # longest line argument that is read
_HOLE = Opaque("memo hole")
_UNBOUNDED = 1 << 62
_CONSTANTS = {0x4E: None, 0x88: True, 0x89: False}
_DOUBLE, _INT, _UINT = (struct.Struct(layout).unpack_from for layout in (">d", "<i", "<I"))


def _is_kept(buf: bytes, pos: int, end: int) -> bool:
    """Tell whether a text of BINUNICODE is none that is looked into, nor one too long to keep."""
    return end <= pos + _KEEP and not may_open(buf, pos + 4)


class Machine:
    """Reads one stream (PROTO … STOP) starting at `start`; facts go to `recorder`."""

    def __init__(self, data: memoryview, start: int, recorder: Recorder, budget: Budget) -> None:
        self.data = data
        self.size = len(data)
        self.recorder = recorder
        self.budget = budget
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []
        self.sparse: dict[int, Any] = {}
        self.former: list[Any] = []  # the memo of the stream before: an Unpickler that is used again keeps it
        self.holes = 0
        self.dense = True
        self.proto = 0
        self.ext: dict[int, tuple[str, str]] = {}
        self.base = start  # offset of buf[0] in data
        self.buf = b""
        self.turn = 0  # from where on in `buf` the next window is wanted
        self.limit = 0  # the same, or the last byte of the frame
        self.safe = 0  # up to where an argument taken inline, and an opcode behind it, is in `buf` and in the frame
        self.pos = 0
        self.stopped = False
        self.framed = (0, 0, 0)  # the last frame: offset of its opcode, start, length
        self.edge = _UNBOUNDED  # where it ends, until that is reached
        self.result: Any = None
        self.arrays: list[tuple[int, int]] = []  # stretches between the opcodes of this stream
        self.raw: list[tuple[int, int]] = []  # those that are plain numbers
        self.lenient = False
        self.blocks = sys.getallocatedblocks() if len(data) > _WINDOW else 0
        self.windows = 0
        self._window(start)

    def offset(self) -> int:
        """Return the offset in `data` of the opcode being handled (its argument, strictly)."""
        return self.base + self.pos - 1

    def _window(self, at: int) -> None:
        if at > self.size:
            msg = "content ends inside an opcode's argument"
            raise Truncated(msg, self.size)
        last = self.size - at <= 2 * _WINDOW
        # Counted for long streams only: it takes 30 us, and a short one does not make so many.
        if self.blocks and sys.getallocatedblocks() - self.blocks > max(_BLOCKS, self.size >> 4):
            self._crowded()
        self.windows += 1
        if not self.windows & _OFTEN:
            forget(self.data)
        self.base = at
        self.buf = bytes(self.data[at:] if last else self.data[at : at + _WINDOW])
        self.turn = _UNBOUNDED if last else _WINDOW - _MARGIN
        self.limit = min(self.turn, self.edge - at - 1)
        self.safe = min(len(self.buf), self.limit) - _ARGUMENT
        self.pos = 0
        self.budget.check_time()

    def _crowded(self) -> None:
        """Let go of everything built so far when it grows beyond what a model of this size would.

        What comes after is still read; what it takes from the memo is then unknown, and said to be.
        """
        self.lenient = True
        self.recorder.dropped_values += 1
        self.stack[:] = [DROPPED] * 4096
        self.marks.clear()
        self.memo.clear()
        self.sparse.clear()
        self.dense = False

    def clear(self) -> None:
        """Let go of what was built, for want of memory."""
        for built in (self.stack, self.marks, self.memo, self.sparse, self.former):
            built.clear()

    def run(self) -> int:
        """Read up to and including STOP and return the offset after it.

        Raises FormatError (bad opcode, stack underflow, bad argument), Truncated, BudgetExceeded;
        what was read before is in the recorder.
        """
        try:
            self._loop()
        except IndexError as exc:
            if self.base + self.pos >= self.size:
                msg = "content ends before STOP"
                raise Truncated(msg, self.size) from exc
            msg = "stack underflow"
            raise FormatError(msg, self.offset()) from exc
        except (ValueError, struct.error) as exc:
            msg = f"bad argument: {exc}"
            raise FormatError(msg, self.offset()) from exc
        end = self.base + self.pos
        if sum(self.framed[1:]) > end:
            self.recorder.frame(*self.framed, end)
        return end

    def _turn(self, pos: int) -> tuple[bytes, int, int, int]:
        """Go on behind the end of a frame, or with the next window."""
        self.pos = pos
        if self.base + pos >= self.edge:
            self.leave_frame()
        if pos > self.turn:
            self._window(self.base + pos)
        return self.buf, self.pos, self.limit, self.safe

    def _loop(self) -> None:  # noqa: C901, PLR0912, PLR0915 - a call an opcode would double its cost
        stack, memo, marks, call, keep = self.stack, self.memo, self.marks, self.recorder.call, _is_kept
        buf, pos, limit, safe, dense = self.buf, self.pos, self.limit, self.safe, self.dense
        while True:
            if pos > limit:
                buf, pos, limit, safe = self._turn(pos)
            self.pos = pos  # where it is when an index fails
            op = buf[pos]
            pos += 1
            if op == 0x94 and dense:  # MEMOIZE
                memo.append(stack[-1])
            elif (op == 0x71 or op == 0x72) and dense and pos < safe:  # noqa: PLR1714 - a set costs more  # BINPUT, LONG_BINPUT
                index, pos = (buf[pos], pos + 1) if op == 0x71 else (_UINT(buf, pos)[0], pos + 4)
                if index == len(memo):
                    memo.append(stack[-1])
                else:
                    dense = self.put(index)
            elif op == 0x8C and pos < safe > (end := pos + 1 + buf[pos]) and (end < pos + _SHORT or not may_open(buf, pos + 1)):
                stack.append(buf[pos + 1 : end].decode("utf-8", "surrogatepass"))  # SHORT_BINUNICODE
                pos = end
                if dense and buf[pos] == 0x94:  # MEMOIZE, as picklers do
                    memo.append(stack[-1])
                    pos += 1
            elif op == 0x58 and pos < safe > (end := pos + 4 + _UINT(buf, pos)[0]) and (end < pos + _SHORT or keep(buf, pos, end)):
                stack.append(buf[pos + 4 : end].decode("utf-8", "surrogatepass"))  # BINUNICODE
                pos = end
                if dense and buf[pos] == 0x71 and buf[pos + 1] == len(memo):  # BINPUT, as picklers do
                    memo.append(stack[-1])
                    pos += 2
            elif op == 0x68 and dense:  # BINGET
                stack.append(memo[buf[pos]] if buf[pos] < len(memo) else self.get(buf[pos]))
                pos += 1
            elif op == 0x4B:  # BININT1
                stack.append(buf[pos])
                pos += 1
            elif op == 0x28:  # MARK
                marks.append(len(stack))
            elif op in _CONSTANTS:  # NONE, NEWTRUE, NEWFALSE
                stack.append(_CONSTANTS[op])
            elif (op == 0x74 and marks) or (0x84 < op < 0x88 and len(stack) > 2 and pos < safe and buf[pos] != 0x85):
                start = marks.pop() if op == 0x74 else 0x84 - op  # TUPLE, 1 to 3
                stack[start:] = [tuple(stack[start:])]
            elif op == 0x47 and pos < safe:  # BINFLOAT
                stack.append(_DOUBLE(buf, pos)[0])
                pos += 8
            elif op == 0x52 and len(stack) > 1:  # REDUCE
                self.pos = pos
                stack[-1] = call(self, stack[-2], stack.pop(), "REDUCE")
            elif (op == 0x4A or op == 0x4D) and pos < safe:  # noqa: PLR1714  # BININT, BININT2
                stack.append(_INT(buf, pos)[0] if op == 0x4A else buf[pos] | buf[pos + 1] << 8)
                pos += 4 if op == 0x4A else 2
            else:
                self.pos = pos
                HANDLERS[op](self, op)
                if self.stopped:
                    return
                buf, pos, limit, safe, dense = self.buf, self.pos, self.limit, self.safe, self.dense

    # Reading arguments (used by the table; `pos` is current)

    def take(self, count: int) -> bytes:
        """Return `count` bytes of argument (at most a few kilobytes) and advance."""
        if self.pos + count > len(self.buf):
            self._window(self.base + self.pos)
            if count > len(self.buf):
                msg = f"argument of {count} bytes, {len(self.buf)} are left"
                raise Truncated(msg, self.base)
        pos = self.pos
        self.pos = pos + count
        return self.buf[pos : pos + count]

    def line(self) -> bytes:
        """Return the bytes up to a newline, without it, and advance."""
        end = self.buf.find(b"\n", self.pos)
        if end < 0:
            self._window(self.base + self.pos)
            end = self.buf.find(b"\n")
            if end < 0:
                at = self.base
                behind = line_end(self.data, at)
                if not at < behind <= at + _LINE:
                    msg = "unterminated or overlong line argument"
                    raise Truncated(msg, at)
                self._window(behind)
                return bytes(self.data[at : behind - 1])
        found = self.buf[self.pos : end]
        self.pos = end + 1
        return found

    def number(self) -> bytes:
        """Return a number's line up to a NUL, where the C unpickler's string ends; the Python one refuses it."""
        before, nul, _ = self.line().partition(b"\x00")
        if nul and self.recorder.parted is None:
            self.recorder.parted = len(self.recorder.sequence)
        return before or (b"0" if nul else b"")

    def skip(self, count: int) -> None:
        """Advance over `count` bytes without reading them."""
        if self.base + self.pos + count > self.size:
            msg = f"argument of {count} bytes, {self.size - self.base - self.pos} are left"
            raise Truncated(msg, self.base + self.pos)
        self.pos += count
        if self.pos > len(self.buf):
            self._window(self.base + self.pos)

    def long_value(self, kind: str, length: int) -> None:
        """Push a string or bytes argument of any length: kept when short, else by reference."""
        at = self.base + self.pos
        if length <= _KEEP:
            raw = self.take(length)
            self.stack.append(raw.decode("utf-8", "surrogatepass") if kind == "text" else raw)
            if raw and raw[0] in OPENERS:  # or there is nothing to look into
                self._look_inside(kind, raw, at, raw)
            return
        self.skip(length)
        head = bytes(self.data[at : at + 64])
        blob = Blob(kind, at, length, head)
        self.stack.append(blob)
        self._look_inside(kind, head, at, blob)

    def push_text(self, text: str) -> None:
        """Push text that the stream writes escaped; what it may hold is looked at without the escapes."""
        self.stack.append(text)
        if len(text) >= _TEXT:
            raw = text.encode("utf-8", "surrogatepass")
            self.recorder.text(raw[:64], self.offset(), raw)

    def _look_inside(self, kind: str, head: bytes, at: int, value: bytes | Blob) -> None:
        length = value.length if isinstance(value, Blob) else len(value)
        if length >= _TEXT and head[0] in OPENERS:
            self.recorder.text(head, at, value)
        # UTF-8 is no byte string: bytes that protocols 0-2 write as text are decoded first (recorder.latin).
        looked = kind != "text" and length >= SHORTEST and head[0] in OPENERS and (length >= _TEXT or short_pickle(head))
        if length > _KEEP or looked:
            unmarked = looked and length > _KEEP and unmarked_pickle(head, self.data[at : at + length])
            self.recorder.embedded(_PICKLE if unmarked else b"" if kind == "text" else head, at, length)

    # Memo

    def put(self, index: int) -> bool:
        """Store the top of the stack at a memo index; tell whether the memo is a list without holes."""
        value = self.stack[-1]
        if self.lenient:
            return self.dense
        memo = self.memo
        if 0 <= index < len(memo):
            if memo[index] is _HOLE:
                self.holes -= 1
            elif memo[index] is not value:
                self.recorder.note("memo_overwritten")
            memo[index] = value
        elif index == len(memo):
            memo.append(value)
        elif 0 < index - len(memo) < _GAP and not self.sparse:
            self.holes += index - len(memo)
            memo.extend([_HOLE] * (index - len(memo)))
            memo.append(value)
        else:
            self.sparse[index] = value
            if index > self.size:  # CPython's memo is an array as long as its largest index
                self.recorder.bombs.add("memo")
        self.dense = not self.holes and not self.sparse
        return self.dense

    def memoize(self) -> None:
        """Store the top of the stack at the next index, which CPython counts by entries."""
        self.put(len(self.memo) - self.holes + len(self.sparse))

    def get(self, index: int) -> Any:  # noqa: ANN401 - symbolic
        """Return what a memo index holds. Raises FormatError when nothing was stored."""
        value = self.memo[index] if 0 <= index < len(self.memo) else self.sparse.get(index, _HOLE)
        if value is _HOLE and 0 <= index < len(self.former):
            return self.former[index]
        if value is _HOLE:
            if self.lenient:
                return DROPPED
            msg = f"memo index {index} was never stored"
            raise FormatError(msg, self.offset())
        return value

    def pop_mark(self) -> list[Any]:
        """Return and remove the values above the last mark."""
        if not self.marks:
            if self.lenient:
                return []
            msg = "no mark on the stack"
            raise FormatError(msg, self.offset())
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    # Globals and calls

    def frame(self, offset: int, length: int) -> None:
        """Take note of a frame, and of one that reaches behind STOP: what a program loads next begins at its end."""
        if self.edge != _UNBOUNDED:
            self.leave_frame()  # before its time
        start = self.base + self.pos
        self.recorder.frame(offset, start, length, self.size)
        self.framed = (offset, start, length)
        self.edge = start + length
        self.limit = min(self.turn, self.edge - self.base - 1)
        self.safe = min(len(self.buf), self.limit) - _ARGUMENT

    def leave_frame(self) -> None:
        """Note a frame that ends inside an opcode: a C unpickler that reads a file goes on somewhere else than in memory."""
        here = self.base + self.pos
        if here != self.edge:
            offset, start, _ = self.framed
            self.recorder.frame(offset, start, self.edge - start, here, torn=True)
        self.edge = _UNBOUNDED
        self.limit = self.turn
        self.safe = min(len(self.buf), self.limit) - _ARGUMENT

    # Arrays between opcodes

    def array_follows(self, _wrapper: Any, state: Any) -> None:  # noqa: ANN401 - symbolic
        """Step over the array that joblib's unpickler reads from the file at this point."""
        layout = layout_of(state)
        at = self.base + self.pos
        if at >= self.edge:
            self.leave_frame()
        if layout is None:
            # Only joblib reads an array here; what other loaders take for opcodes is read as that.
            self.recorder.unclear_array = True
            return
        if layout.objects:
            self.recorder.nested_streams = True
            inner = Machine(self.data, at, self.recorder, self.budget)
            end = inner.run()
        else:
            end = at
            if layout.padded:
                end += 1 + (self.data[at] if at < self.size else 0)
            end += layout.size
            if end > self.size:
                msg = f"joblib array of {layout.size} bytes, {self.size - at} are left"
                raise Truncated(msg, at)
            self.raw.append((at, end))
        self.arrays.append((at, end))
        self.skip(end - at)
