"""Blank out what millions of elements of a large model say: numbers and short words.

A forest in PMML is nodes and predicates, a callback of expat's for each; a regular expression
takes them at a fraction of the cost. An element is blanked when its name is one of a few that
mean nothing to us, every attribute is a number or a word, and nothing is left inside it. Spaces
take its place, so every offset stays. A block in which a word of code stands is left as it is.
"""

from __future__ import annotations

import re

__all__ = ["blank"]

_ATTRIBUTES = rb'(?:\s{1,9}[A-Za-z]{2,30}="(?:[A-Za-z_][A-Za-z0-9_]{0,23}+|[0-9.-][0-9.eE+-]{0,23}+)?"){0,12}+\s{0,9}'
# Runs of spaces, which blanking makes, as repetitions of one letter: several times as fast as of a set of letters.
_SPACE = rb"(?: ++|[\n\r\t\f\v])*+"
_EMPTY = (
    rb"<(?:SimplePredicate|True|False|ScoreDistribution|Con|NumericPredictor|CategoricalPredictor|PCell|PPCell|Coefficient)"
    + _ATTRIBUTES
    + rb"/>"
)
_DULL = re.compile(rb"<(Node|Neuron)" + _ATTRIBUTES + rb">(?:" + _SPACE + _EMPTY + rb"){0,64}+" + _SPACE + rb"</\1>|" + _EMPTY)
_INNERMOST = re.compile(rb"<Node" + _ATTRIBUTES + rb">" + _SPACE + _EMPTY + _SPACE + rb"</Node>")
# What the patterns of code in `pmml.py` find within a single word.
_CODE_WORDS = (b"processbuilder", b"scriptengine", b"__import__", b"subprocess", b"powershell", b"xp_cmdshell")
_FEW = 1000  # elements for which another pass over a block is not worth it
_PASSES = 10  # each takes what the one before has emptied


def blank(block: bytes) -> bytes:
    """Return the block with spaces in the place of its dull elements."""
    lower = block.lower()
    if any(word in lower for word in _CODE_WORDS):
        return block
    for _ in range(_PASSES):
        block, count = _INNERMOST.subn(_spaces, block)
        if count < _FEW:
            break
    return _DULL.sub(_spaces, block)


def _spaces(match: re.Match[bytes]) -> bytes:
    return b" " * (match.end() - match.start())
