"""What office documents, project files, shortcuts and work flows in XML fetch or run.

Sources: ECMA-376 part 2 (relationships) and part 1 (fields, DDE links), ODF 1.3 (events, DDE), MSBuild's schema, Maven's
POM, Windows' task, console and library schemas, JNLP.

Facts:
- `xml.active` what, element, value: a part from elsewhere, a field or formula that starts a program, code, a task factory.
- `xml.command` element, command: a command that a build or a task runs.
- `xml.source` element, value: where packages come from.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from stannary.formats.interface import Sink, clip

__all__ = ["Active"]

# Parts that are loaded when the document is opened.
_LOADED = frozenset({"attachedTemplate", "oleObject", "frame", "aFChunk", "subDocument", "control", "vbaProject", "package"})
_LOCAL = re.compile(r"(?:file:/{2,3})?(?:[A-Za-z]:|/(?!/))[\\/]?[^:]*\Z|(?![\w+.-]+:)[^\\/]{2}(?![\\/]{2}).*\Z", re.DOTALL)
_SHARE = re.compile(r"(?:file:)?(?:[\\/]{2}|[\\/]{4,5})[\w.-]+[\\/]|file://[\w.-]+/", re.IGNORECASE)
_STARTS = re.compile(
    r"(?:javascript|vbscript|data|ms-[\w-]+|search-ms|shell|jar|mhtml|mk|its|res|script):|(?:\w:)?[\w\\/.%~ -]*\b"
    r"(?:cmd|powershell|pwsh|mshta|wscript|cscript|rundll32|regsvr32|certutil|msbuild|bash|sh)(?:\.exe)?(?:\s|$)"
    r"|[^?#]*\.(?:exe|bat|cmd|vbs|js|hta|lnk|ps1|scr|com|pif|msi|jar|wsf|cpl)\Z",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"\s*(DDE(?:AUTO)?|(?:LINK|INCLUDEPICTURE|INCLUDETEXT|IMPORT)(?=\b.*(?:https?:|\\\\\\\\|\\\\\w|file:)))\b",
    re.IGNORECASE | re.DOTALL,
)
_FORMULA = re.compile(
    r"\b[\w.]{2,30}\|\s*'[^'\n]{1,300}'\s*!|\b(?:DDE|EXEC|CALL|REGISTER(?:\.ID)?|FOPEN|FWRITELN|URLMON)\s*\(\s*[\"&]"
    r"|\b(?:WEBSERVICE|IMPORTDATA|IMPORTXML)\s*\(|\bHYPERLINK\s*\([^)]{0,200}\"\s*&"
)
_CODE = re.compile(
    r"getRuntime\(\)\s*\.\s*exec\b|\bProcessBuilder\s*\(|\bProcess\.Start\s*\(|\bos\.(?:system|popen|exec\w+)\s*\(|\bsubprocess\.\w+\s*\("
    r"|__import__\s*\(|WScript\.Shell|\bShell\s*\(|\bWebClient\b|\.Reflection\.Assembly|\$\{(?:jndi|script):"
)
_CODE_IN = frozenset(
    {
        "script",
        "code",
        "scriptbody",
        "scriptsource",
        "source",
        "module",
        "entry",
        "properties",
        "value",
        "scripttext",
        "expression",
        "param",
        "parameter",
    }
)
_FACTORY = re.compile(r"(?:Code|Roslyn\w*|WindowsPowerShell|PowerShell)TaskFactory")
_EVENTS = frozenset({"PreBuildEvent", "PostBuildEvent", "PreLinkEvent", "Command", "DeepLink", "Arguments", "CommandLine"})
_LAUNCHES = frozenset({"execute_program", "execute_script", "execute_python", "execute_process"})
_NOT_WEB = re.compile(r"file:///(?!\w:)|\\\\|//", re.IGNORECASE)
_TEXT = 4000


class Active:
    """The handler of XML that has no reader of its own."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.root = ""
        self.field: list[str] = []
        self.parents: list[str] = []
        self.launch = False

    def start(self, name: str, attributes: dict[str, str], offset: int) -> None:
        """Look at an element and its attributes."""
        if not self.root:
            self.root = name
            if name == "macrosheet":
                self._note("macro sheet", name, "a sheet of Excel 4 macros", offset)
            elif name == "jnlp":
                self._note("web start", name, attributes.get("codebase", "a Java program"), offset)
        self.parents.append(name)
        if not attributes:
            return
        plain = {key.rpartition(":")[2]: value for key, value in attributes.items()}
        if name == "Relationship":
            self._relationship(plain, offset)
        elif name == "fldSimple":
            self._is_field(plain.get("instr", ""), offset)
        elif self.root == "Project":
            self._project(name, plain, offset)
        else:
            self._other(name, plain, offset)
        for key, value in plain.items():
            if key.lower() in _CODE_IN | {"formula"}:
                found = _FORMULA.search(value) if key == "formula" else _CODE.search(value)
                if found:
                    self._note("formula" if key == "formula" else "code", name, value[found.start() : found.start() + 160], offset)

    def end(self, name: str, text: str, offset: int) -> None:
        """Look at the text of an element."""
        parent = self.parents[-2] if len(self.parents) > 1 else ""
        self.text(name, parent, text, offset)

    def leave(self, name: str, offset: int) -> None:
        """Leave an element: a field of Word ends with its paragraph."""
        if self.parents:
            self.parents.pop()
        if name == "p" and self.field:
            self._is_field("".join(self.field), offset)
            self.field.clear()

    def text(self, name: str, parent: str, text: str, offset: int) -> None:
        """Look at the text of one element within another."""
        if name in {"instrText", "delInstrText"}:
            self.field.append(text)
        elif name == "f" and (found := _FORMULA.search(text)):
            self._note("formula", name, text[found.start() : found.start() + 160], offset)
        elif name in _EVENTS and self.root in {"Project", "PCSettings", "Task"} and text.strip():
            self.sink.fact("xml.command", offset, element=clip(name), command=clip(text.strip(), _TEXT))
        elif name == "url" and parent in {"repository", "pluginRepository", "snapshotRepository"}:
            self.sink.fact("xml.source", offset, element=clip(parent), value=clip(text.strip(), 300))
        elif (
            name == "url" and self.root == "libraryDescription" and (_SHARE.match(text.strip()) or text.strip().startswith("http"))
        ) or (name == "string" and self.root == "plist" and parent == "dict" and _NOT_WEB.match(text.strip())):
            self._note("share", name, text.strip(), offset)
        elif name.lower() in _CODE_IN and (code := _CODE.search(text)):
            self._note("code", name, text[code.start() : code.start() + 160], offset)

    def _relationship(self, attributes: dict[str, str], offset: int) -> None:
        kind, target = attributes.get("Type", "").rpartition("/")[2], unquote(attributes.get("Target", "")).strip()
        if attributes.get("TargetMode") != "External":
            return
        if kind in _LOADED:
            if _SHARE.match(target) or not _LOCAL.match(target):
                self._note("part from elsewhere", kind, target, offset)
        elif kind == "hyperlink":
            if _STARTS.match(target) and not target.lower().startswith(("http", "mailto", "data:image")):
                self._note("link that starts", kind, target, offset)
        elif _SHARE.match(target):
            self._note("part from elsewhere", kind, target, offset)

    def _is_field(self, instruction: str, offset: int) -> None:
        if found := _FIELD.match(instruction):
            self._note("field", found[1].upper(), instruction.strip(), offset)

    def _project(self, name: str, attributes: dict[str, str], offset: int) -> None:
        if name == "Exec" and attributes.get("Command"):
            self.sink.fact("xml.command", offset, element=name, command=clip(attributes["Command"], _TEXT))
        elif name == "UsingTask" and _FACTORY.search(attributes.get("TaskFactory", "")):
            self._note("task factory", name, attributes["TaskFactory"], offset)

    def _other(self, name: str, attributes: dict[str, str], offset: int) -> None:
        if name == "ddeLink" or name in {"dde-source", "dde-connection-decl"}:
            service = " ".join(v for k, v in attributes.items() if k.startswith(("dde", "dde-")))
            self._note("DDE link", name, service, offset)
        elif name == "event-listener" and "script:" in attributes.get("href", ""):
            self._note("event", name, attributes["href"], offset)
        elif attributes.get("action", "").startswith(("ppaction://program", "ppaction://macro")):
            self._note("link that starts", name, attributes["action"], offset)
        elif name == "ocx":
            self._note("control", name, attributes.get("classid", ""), offset)
        elif name == "ObjectDataProvider" or attributes.get("qualified_name", "").endswith("OWPythonScript"):
            self._note("code", name, attributes.get("MethodName") or attributes.get("qualified_name", name), offset)
        elif name == "Task" and attributes.get("Type") == "CommandLine":
            self._note("task", name, attributes.get("Command", ""), offset)
        elif name == "operator":
            self.launch = attributes.get("class", "") in _LAUNCHES
        elif name == "parameter" and self.launch and attributes.get("key") in {"command", "script"}:
            self.sink.fact("xml.command", offset, element=name, command=clip(attributes.get("value", ""), _TEXT))
        elif name == "exec" and self.root == "project" and attributes.get("executable"):
            self.sink.fact("xml.command", offset, element=name, command=clip(attributes["executable"], _TEXT))

    def _note(self, what: str, element: str, value: str, offset: int) -> None:
        self.sink.fact("xml.active", offset, what=what, element=clip(element, 60), value=clip(value, 300))
