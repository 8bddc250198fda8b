"""Headers of programs that no machine could load are read to a verdict."""

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View


@pytest.mark.parametrize("table", [1 << 62, 1 << 63, (1 << 64) - 1, (1 << 63) - 64])
def test_a_table_beyond_what_can_be_addressed_is_incomplete_and_a_program(table):
    header = bytearray(b"\x7fELF\x02\x01\x01" + bytes(57))
    header[16:20] = b"\x03\x00\x3e\x00"
    header[32:40] = table.to_bytes(8, "little")
    header[54:58] = b"\x38\x00\x02\x00"
    report = read_view(View(bytes(header), "model.bin"), strict=True)
    assert any("broken" in missed.reason for missed in report.missed)
    assert any(fact.kind == "executable.program" for fact in report.facts)
