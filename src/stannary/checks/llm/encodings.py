"""Encodings in which an instruction may pass a filter, and still be understood by the model behind it."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Mapping

__all__ = ["ENCODINGS", "encode"]

_LEET = str.maketrans("aeiostbg", "43105786")
_LOOKALIKE = str.maketrans("aceopxyijsACEHIKMOPTXB", "асеорхуіјѕАСЕНІКМОРТХВ")  # noqa: RUF001 - look-alike letters are the point
_MORSE = {
    "a": ".-", "b": "-...", "c": "-.-.", "d": "-..", "e": ".", "f": "..-.", "g": "--.", "h": "....", "i": "..", "j": ".---",
    "k": "-.-", "l": ".-..", "m": "--", "n": "-.", "o": "---", "p": ".--.", "q": "--.-", "r": ".-.", "s": "...", "t": "-",
    "u": "..-", "v": "...-", "w": ".--", "x": "-..-", "y": "-.--", "z": "--..", "0": "-----", "1": ".----", "2": "..---",
    "3": "...--", "4": "....-", "5": ".....", "6": "-....", "7": "--...", "8": "---..", "9": "----.", ".": ".-.-.-", ",": "--..--",
}  # fmt: skip
_TAGS = 0xE0000  # Unicode's tag characters mirror ASCII, and are not shown
_SELECTORS = 0xE0100 - 16  # variation selectors 17 to 256: one a byte
_FONT = {
    "A": (" # ", "# #", "###", "# #"), "B": ("## ", "###", "# #", "## "), "C": ("###", "#  ", "#  ", "###"),
    "D": ("## ", "# #", "# #", "## "), "E": ("###", "## ", "#  ", "###"), "F": ("###", "## ", "#  ", "#  "),
    "G": ("###", "#  ", "# #", "###"), "H": ("# #", "###", "# #", "# #"), "I": ("###", " # ", " # ", "###"),
    "J": ("  #", "  #", "# #", "###"), "K": ("# #", "## ", "# #", "# #"), "L": ("#  ", "#  ", "#  ", "###"),
    "M": ("# #", "###", "###", "# #"), "N": ("###", "# #", "# #", "# #"), "O": ("###", "# #", "# #", "###"),
    "P": ("###", "# #", "###", "#  "), "Q": ("###", "# #", "###", "  #"), "R": ("## ", "# #", "## ", "# #"),
    "S": ("###", "#  ", "  #", "###"), "T": ("###", " # ", " # ", " # "), "U": ("# #", "# #", "# #", "###"),
    "V": ("# #", "# #", "# #", " # "), "W": ("# #", "# #", "###", "###"), "X": ("# #", " # ", " # ", "# #"),
    "Y": ("# #", " # ", " # ", " # "), "Z": ("###", " ##", "#  ", "###"),
}  # fmt: skip


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _base32(text: str) -> str:
    return base64.b32encode(text.encode()).decode()


def _hex(text: str) -> str:
    return text.encode().hex(" ")


def _binary(text: str) -> str:
    return " ".join(f"{byte:08b}" for byte in text.encode())


def _rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def _atbash(text: str) -> str:
    return "".join(
        chr(ord("a") + ord("z") - ord(c)) if "a" <= c <= "z" else chr(ord("A") + ord("Z") - ord(c)) if "A" <= c <= "Z" else c
        for c in text
    )


def _morse(text: str) -> str:
    return " / ".join(" ".join(_MORSE[c] for c in word if c in _MORSE) for word in text.lower().split())


def _tags(text: str) -> str:
    return "Hello!" + "".join(chr(_TAGS + ord(c)) for c in text if " " <= c <= "~")


def _selectors(text: str) -> str:
    return "Hello!" + "".join(chr(_SELECTORS + byte if byte >= 16 else 0xFE00 + byte) for byte in text.encode())  # noqa: PLR2004 - selectors 1 to 16 lie elsewhere


def _zero_width(text: str) -> str:
    return "\u200b".join(text)


def _ascii_art(text: str) -> str:
    """Draw each word in letters of four lines; the words stand below each other."""
    blocks = []
    for word in text.upper().split():
        letters = [_FONT[c] for c in word if c in _FONT]
        blocks.append("\n".join(" ".join(letter[line] for letter in letters).rstrip() for line in range(4)))
    return "\n\n".join(block for block in blocks if block.strip())


def _zalgo(text: str) -> str:
    return "".join(c + chr(0x0300 + (ord(c) * 7 + at) % 0x40) if c.isalpha() else c for at, c in enumerate(text))


ENCODINGS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "base64": ("base64", _base64),
    "base32": ("base32", _base32),
    "hex": ("hexadecimal", _hex),
    "binary": ("binary ASCII", _binary),
    "rot13": ("ROT13", _rot13),
    "atbash": ("the Atbash cipher", _atbash),
    "morse": ("Morse code", _morse),
    "leet": ("leetspeak", lambda text: text.lower().translate(_LEET)),
    "reversed": ("written backwards", lambda text: text[::-1]),
    "spaced": ("written with a space after every letter", " ".join),
    "full-width": ("full-width letters", lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)),
    "look-alike": ("written in letters of several alphabets", lambda text: text.translate(_LOOKALIKE)),
    "zero-width": ("interrupted by characters of no width", _zero_width),
    "tags": ("hidden in Unicode tag characters", _tags),
    "variation-selectors": ("hidden in Unicode variation selectors", _selectors),
    "combining": ("covered by combining marks", _zalgo),
    "ascii-art": ("ASCII art", _ascii_art),
}


def encode(name: str, text: str) -> str:
    """Return a text in the encoding called `name`."""
    return ENCODINGS[name][1](text)
