"""Any text: credentials, encoded payloads, command lines that fetch and run, licences of cards.

Runs beside the reader of a text's own format. Facts besides those of `secrets` and `licences`:
`text.document`: size, lines, name; `text.encoded`: a run of base64, hex, escaped or uuencoded bytes that decodes
    to something recognised (read as content of its own), `text.serialized` where the key announces it. Fields: encoding, size,
    head, line.
`text.command`: a line that fetches and runs, or opens a shell to the network. Fields: command, line, name, fenced, script
    (the text opens with an interpreter line).
`text.directive`: a line by which a tool runs or fetches something, by `text_directives`.
`text.hidden`: characters that are not seen (zero width, Bidi controls, tag characters). Fields: count, line, tags (the words
    that tag characters spell).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from stannary.core.errors import FormatError
from stannary.formats import hidden_orders, licences, pages, secrets, text_directives
from stannary.formats.embedded_text import PAYLOAD_MAGIC, is_marshalled
from stannary.formats.identify import is_text
from stannary.formats.inline_code import hand_on_inline
from stannary.formats.interface import Sink, View, clip
from stannary.formats.pickle_glance import glance

__all__ = ["probe", "read"]

_BLOCK = 16 << 20
_OVERLAP = 1 << 16
_MAX_BLOBS = 200
_MAX_DECODED = 64 << 20
_MAX_COMMANDS = 100
_URLSAFE = bytes.maketrans(b"-_", b"+/")
_RUN = {
    "base64": re.compile(
        rb"(?:[A-Za-z0-9+/_-]|(?:\\n|\\r|\r?\n)[ \t\"'+]{0,8}"
        rb"(?=[A-Za-z0-9+/]{8}|[A-Za-z0-9+/]{2,7}={1,2}|[A-Za-z0-9+/]{4}(?:\\n|[\r\n\"'])))+={0,2}"  # the last line may be short
    ),
    "hex": re.compile(rb"(?:[0-9a-fA-F]{2})+"),
    "escape": re.compile(rb"(?:(?:\\x|0x)[0-9a-fA-F]{2}[, \n\"']{0,4})+"),
}
_ESCAPED_X = re.compile(rb"\\x[0-9a-fA-F]{2}[, \n\"']{0,4}(?:\\x|0x)[0-9a-fA-F]{2}")
_ESCAPED_0X = re.compile(rb"0x[0-9a-fA-F]{2}[, \n\"']{0,4}(?:\\x|0x)[0-9a-fA-F]{2}")
_SHORTEST = {"base64": 30, "hex": 40, "escape": 64}
_UU = re.compile(rb"^begin [0-7]{3} [^\n]{1,80}\n((?:[ -`]{1,61}\n)+)(?:`?\n)?end", re.MULTILINE)
# A pickle's beginning, also of one that is cut: a frame, a name, a text, an empty container and what goes into it.
_OPCODES = re.compile(
    rb"\x80[\x02-\x05](?:\x95.{4}\0{4}|[\(\]\}q\0\x94]{0,6}(?:c[A-Za-z_][\w.]|\x8c.[\w. /-]{2}|X.{2}\0{2}[\w. /-]|U.[\w. /-]{2}))",
    re.DOTALL,
)
_PLAUSIBLE = 8  # opcodes in a row; noise gets as far once in 50,000 times
_LONG_WORD = b"A" * 28
_MARK = bytes(65 if chr(b) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_" else 32 for b in range(256))
_MAGIC = (*PAYLOAD_MAGIC, *(bytes((kind, count)) + bytes(7) for kind in b"\xe3c" for count in range(8)))  # and marshalled code
_WORD_PREFIXES = {
    "base64": tuple(base64.b64encode(magic + bytes(3))[: len(magic) * 8 // 6] for magic in _MAGIC),
    "hex": tuple(text for magic in _MAGIC for text in (magic.hex().encode(), magic.hex().upper().encode())),
}
_ESCAPE_PREFIXES = tuple(
    form.join(("", *(f"{b:02x}" for b in magic[:3]))).lstrip(", ").encode()
    for magic in PAYLOAD_MAGIC
    for form in ("\\x", ", 0x", ",0x")
)
_ANCHORS = (
    b"/dev/tcp/",
    b"/dev/udp/",
    b"curl",
    b"wget",
    b"fetch ",
    b"iwr ",
    b"irm ",
    b"Invoke-WebRequest",
    b"base64",
    b"nc ",
    b"ncat ",
    b"netcat ",
    b"powershell",
    b"mkfifo",
    b"IEX",
    b"iex",
    b"Invoke-Expression",
    b"DownloadString",
    b"mshta",
    b"certutil",
    b"crontab",
    b"authorized_keys",
    b"socat",
    b"CreateObject",
    b"createobject",
    b"CREATEOBJECT",
    b"ActiveXObject",
    b"GetObject",
    b"$_",
    b"getRuntime",
    b"cmd|",
    b"powershell|",
    b"mshta|",
)
_RARE_ANCHORS = (b"/dev/tcp/", b"curl ", b"wget ", b"base64 -", b" nc -", b"powershell", b"authorized_keys")
_LARGE = 1 << 20
_DENSE = 1 << 17
_RUNS = re.compile(
    rb"/dev/(?:tcp|udp)/|\b(?:curl|wget|fetch|iwr|irm|Invoke-WebRequest)\b[^\n]{0,400}\|[^\n]{0,40}(?:sh|python[\d.]*|perl|node|iex)\b|base64\s+-{1,2}d\w*[^\n]{0,200}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"
    rb"|(?:(?:ba|z|da)?sh\s+(?:-c\s+)?|\b(?:eval|source)\s+)[\"']?(?:<\(|\$\(|`)\s*(?:curl|wget)|\b(?:nc|ncat|netcat)\b[^\n]{0,80}\s-\w*e|powershell[^\n]{0,120}\s-e(?:nc|ncodedcommand)?\s|mkfifo\s|\b(?i:IEX|Invoke-Expression)\b\s?[(&.$\"\'\[]|\bIEX\b|\bDownloadString\s*\([^\n]{0,300}(?i:\|\s*(?:IEX|Invoke-Expression))|\bmshta\b|certutil[^\n]{0,60}-urlcache|\bcrontab\s+-|authorized_keys|\bsocat\b"
    rb"|\b(?:curl|wget|iwr|Invoke-WebRequest)\b[^\n]{0,200}\b(?:http://|ftp://|https?://\d{1,3}(?:\.\d{1,3}){3})"
    rb"(?:[^\n]{0,200}\n){0,3}?[^\n]{0,200}\b(?:chmod\s+(?:[ugoa]*\+[rw]*x|[0-7]?[57][0-7]{2}\s)[^\n]{0,200}(?:\n[^\n]{0,200})?|Start-Process\b)"
    rb"|\b(?i:CreateObject|ActiveXObject|GetObject)\s*\("
    rb"|(?m:^|[,;\t\"])[ ]*[=+@-][ ]*(?:cmd|powershell|mshta|msexcel|rundll32|regsvr32|certutil|dde)[ ]*\|"
    rb"|\(\s*\$_(?:GET|POST|REQUEST|COOKIE|SERVER)\b|getRuntime\(\)\s*\.exec\s*\(\s*request\."
)
_TAGS = re.compile("[\U000e0020-\U000e007e]{10,}")  # a flag of a region has six, behind a flag
_HIDDEN = re.compile("[\u200b\u2060\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_CARDS = ("readme", "license", "licence", "copying", "notice", "use_policy", "modelcard")

# What Windows runs when it is opened; no model has need of one, and what it does may be spelled in a hundred ways.
_HOST_SCRIPTS = (".vbs", ".vbe", ".jse", ".wsf", ".wsh", ".hta", ".scf", ".sct")
_SHORTCUT = re.compile(rb"^\s*(?:URL|IconFile)\s*=\s*(?:file:|\\\\)", re.MULTILINE | re.IGNORECASE)
_SHELLS = (".sh", ".bash", ".zsh", ".bat", ".cmd", ".ps1", ".mk", ".dockerfile")
_PAGES = (".html", ".htm", ".xhtml", ".svg")
_CARDS_OF_PAGES = (".md", ".mdx", ".markdown")  # which are shown as pages
_WEIGHTS = re.compile(
    r"(?:^[^.]+|\.(?:bin|pt|pth|ckpt|model|weights?|h5|hdf5|onnx|gguf|ggml|safetensors|pkl|pickle|joblib|np[yz]|pb|tflite|mlmodel|msgpack|params|dat|data))$"
)
_PYTHON_LAYER = re.compile(rb"\bpython_param\s*:?\s*\{([^}]{0,4000})\}")  # of a Caffe network as text
_QUOTED = re.compile(rb"\b(module|layer|param_str)\s*:\s*[\"']([^\"'\n]{0,2000})[\"']")
# Of a path file: modules are looked for there. `../src` is what a project writes for itself.
_PLACES = re.compile(rb"^(?:/|~|\.\.[\\/]\.\.|[A-Za-z]:[\\/])[^\r\n\0]{1,400}$", re.MULTILINE)
_IMPORT_LINES = re.compile(rb"^import[ \t][^\r\n]*", re.MULTILINE)  # of a path file: `site` executes these
_PYTHON = re.compile(
    rb"(?:\s|#[^\n]*\n|\"\"\".{0,4000}?\"\"\")*"
    rb"(?:import \w|from \w[\w.]* import |exec\s*\(|eval\s*\(|__import__\s*\(|@\w+\n|class \w+|def \w+\()",
    re.DOTALL,
)
_RAIL = re.compile(rb"<script\b[^>]*\blanguage\s*=\s*[\"']python[\"'][^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
_LFS = b"version https://git-lfs.github.com/spec/v1"
_POINTER = 1024  # bytes; a pointer has some 130


def probe(view: View) -> bool:
    """Tell whether the content is text."""
    return is_text(view)


def read(view: View, sink: Sink) -> None:
    """Read a text in blocks. Never fails for what the text says."""
    base = view.name.replace("\\", "/").rsplit("/", 1)[-1]
    size = len(view)
    if size < _POINTER and view.head(len(_LFS)) == _LFS:
        sink.incomplete("a Git LFS pointer: the content itself is not here")
        return
    head = view.head(2)
    if head in (b"\xff\xfe", b"\xfe\xff") and size <= _BLOCK:
        try:
            whole = view.text(_BLOCK).encode("utf-8", "replace")
            _block(whole, 0, base, sink)
            text_directives.report(view.name, len(whole), lambda at: whole[at : at + text_directives.WINDOW], sink)
        except FormatError as exc:
            sink.incomplete(exc.message)
        return
    start = 0
    while start < size:
        _block(bytes(view.data[start : start + _BLOCK + _OVERLAP]), start, base, sink)
        start += _BLOCK
        sink.budget.check_time()
    text_directives.report(view.name, size, lambda at: bytes(view.data[at : at + text_directives.WINDOW]), sink)
    sink.fact("text.document", None, size=size, name=clip(base))
    if base.lower().startswith(_CARDS):
        licences.report(base, view.head(1 << 18).decode("utf-8", "replace"), sink)
    _by_name(view, base.lower(), sink)
    sink.inert("text")


def _by_name(view: View, base: str, sink: Sink) -> None:
    """Report what a text is that its name says something else of, or that something would run for its name."""
    if base.endswith(_HOST_SCRIPTS) or (base.endswith(".url") and _SHORTCUT.search(view.head(1 << 13))):
        sink.fact("text.host_script", 0, name=clip(base))
    elif base.startswith(("dockerfile", "containerfile", "makefile")) or base.endswith(_SHELLS):
        hand_on_inline(sink, base, view.head(1 << 16).decode("utf-8", "replace"))
    elif base.endswith(_PAGES):
        page = view.head(_BLOCK).decode("utf-8", "replace")
        remote, hidden = pages.sends_to(page), pages.hides(page)
        if remote or hidden:
            sink.fact("text.active", None, name=clip(base), remote=clip(remote), hidden=clip(hidden))
    elif base.endswith(_CARDS_OF_PAGES) and view.find(b"<script") >= 0:
        if remote := pages.sends_to(view.head(_BLOCK).decode("utf-8", "replace")):
            sink.fact("text.active", None, name=clip(base), remote=clip(remote), hidden="")
    elif base.endswith((".prototxt", ".rail")):
        (_python_layers if base.endswith(".prototxt") else _scripts)(view, sink)
    elif hidden_orders.is_prompt(base):
        hidden_orders.report(view.head(_BLOCK).decode("utf-8", "replace"), sink)
    elif base.endswith(".pth") and _path_file(view, base, sink):
        return
    elif _WEIGHTS.search(base) and _PYTHON.match(view.head(1 << 13)):
        sink.child(f"{base}.py", view.data, hint="python")


def _scripts(view: View, sink: Sink) -> None:
    """Read the scripts of a specification of Guardrails, which executed them when it read the specification."""
    for number, script in enumerate(_RAIL.finditer(view.head(1 << 18))):
        sink.child(f"script{number}.py", script[1], hint="python")


def _python_layers(view: View, sink: Sink) -> None:
    """Report the layers of a Caffe network that are Python classes."""
    for layer in _PYTHON_LAYER.finditer(view.head(_BLOCK)):
        names = {m[1].decode(): m[2].decode("utf-8", "replace") for m in _QUOTED.finditer(layer[1])}
        sink.fact(
            "caffe.python",
            layer.start(),
            module=clip(names.get("module", "")),
            layer=clip(names.get("layer", "")),
            parameters=clip(names.get("param_str", "")),
        )


def _path_file(view: View, base: str, sink: Sink) -> bool:
    """Read a path file of `site`: lines that it executes, folders that modules are looked for in. Tells whether there are any."""
    if lines := _IMPORT_LINES.findall(view.head(1 << 20)):
        sink.child(f"{base}.py", b"\n".join(lines), hint="python")
    places = _PLACES.findall(view.head(1 << 13))
    for place in places[:8]:
        sink.fact("config.value", None, kind="search", value=clip(place.decode("utf-8", "replace")), key=clip(base), path="")
    return bool(lines or places)


def _block(raw: bytes, start: int, base: str, sink: Sink) -> None:
    secrets.report(raw, sink, base=start)
    _encoded(raw, start, sink)
    _commands(raw, start, base, sink)
    if not raw.isascii() and any(
        mark in raw
        for mark in (b"\xe2\x80\xaa", b"\xe2\x80\xab", b"\xe2\x80\xad", b"\xe2\x80\xae", b"\xf3\xa0\x80", b"\xf3\xa0\x81")
    ):
        text = raw.decode("utf-8", "replace")
        found = list(_HIDDEN.finditer(text))
        if found:
            tags = "".join(chr(ord(c) - 0xE0000) for run in _TAGS.findall(text) for c in run)
            line = text.count("\n", 0, found[0].start()) + 1
            sink.fact("text.hidden", start, count=len(found), line=line, tags=clip(tags))


def _commands(raw: bytes, start: int, base: str, sink: Sink) -> None:
    seen: set[int] = set()
    anchors = _ANCHORS if len(raw) <= _LARGE else _RARE_ANCHORS
    for first, last in secrets.spans(raw, anchors, 200, 500):
        if last - first > _DENSE:
            sink.incomplete(f"{last - first} bytes dense with command names were searched in part", start + first)
            last = first + _DENSE  # noqa: PLW2901 - the part that is searched
        for match in _RUNS.finditer(raw, first, last):
            begin = raw.rfind(b"\n", 0, match.start()) + 1
            if begin in seen:
                continue
            seen.add(begin)
            if len(seen) > _MAX_COMMANDS:
                return
            end = raw.find(b"\n", match.end())
            line = (
                raw[max(begin, match.start() - 400) : min(end if end >= 0 else len(raw), match.end() + 400)]
                .decode("utf-8", "replace")
                .strip()
            )
            fenced = raw.count(b"```", 0, match.start()) % 2 == 1
            sink.fact(
                "text.command",
                start + match.start(),
                command=clip(line, 800),
                line=raw.count(b"\n", 0, match.start()) + 1,
                name=clip(base),
                fenced=fenced,
                script=not start and raw.startswith(b"#!"),
            )


def _encoded(raw: bytes, start: int, sink: Sink) -> None:
    covered = -1
    found = 0
    for at, encoding in sorted(_candidates(raw)):
        if at < covered:
            continue
        match = _RUN[encoding].match(raw, at, at + _MAX_DECODED)
        if match is None or len(match[0]) < _SHORTEST[encoding]:
            continue
        covered = match.end()
        content = _decode(encoding, match[0])
        if content and _known(content):
            found += 1
            if found > _MAX_BLOBS:
                sink.incomplete(f"more than {_MAX_BLOBS} encoded payloads in a text")
                return
            _hand_on(encoding, content, raw, at, start, sink)
    if b"\nend" in raw and b"begin " in raw:
        for uu in _UU.finditer(raw):
            content = _uudecode(uu[1])
            if content:
                _hand_on("uuencode", content, raw, uu.start(), start, sink)


def _candidates(raw: bytes) -> Iterator[tuple[int, str]]:
    """Yield where an encoded payload could start: long words that begin as a known content does, encoded."""
    marked = raw.translate(_MARK)
    at = marked.find(_LONG_WORD)
    while at >= 0:
        for offset in (at, at + 1):  # a word behind `\n` in a string begins with that n
            for encoding, prefixes in _WORD_PREFIXES.items():
                if raw.startswith(prefixes, offset):
                    yield offset, encoding
        at = marked.find(_LONG_WORD, _end_of_word(marked, at))
    # Seventy prefixes are searched for only where one escape follows another: `0x` alone stands in every long base64 by chance.
    for prefix in _ESCAPE_PREFIXES if _ESCAPED_X.search(raw) or _ESCAPED_0X.search(raw) else ():
        at = raw.find(prefix)
        while at >= 0:
            yield at, "escape"
            at = raw.find(prefix, at + len(prefix))


def _end_of_word(marked: bytes, at: int) -> int:
    end = marked.find(b" ", at)
    return len(marked) if end < 0 else end


def _decode(encoding: str, run: bytes) -> bytes:
    try:
        if encoding == "base64":
            plain = re.sub(rb"\\[nr]|[^A-Za-z0-9+/_=-]", b"", run).rstrip(b"=").translate(_URLSAFE)
            return base64.b64decode(plain[: len(plain) // 4 * 4] if len(plain) % 4 == 1 else plain + b"=" * (-len(plain) % 4))
        return bytes.fromhex(re.sub(rb"\\x|0x|[^0-9a-fA-F]", b"", run).decode("ascii"))
    except (binascii.Error, ValueError):
        return b""


def _uudecode(body: bytes) -> bytes:
    try:
        return b"".join(binascii.a2b_uu(line) for line in body.splitlines() if line.strip())
    except binascii.Error:
        return b""


def _known(content: bytes) -> bool:
    """Tell whether decoded bytes are recognised by more than the two letters that they start with."""
    if is_marshalled(content):
        return True
    if not content.startswith(PAYLOAD_MAGIC):
        return False
    if content.startswith((b"x\x9c", b"x\xda")):
        return _inflates(content)
    if content[:2] == b"MZ":
        return len(content) > 64 and b"PE\0\0" in content[:4096]
    if content[:1] == b"(":
        return glance(content).runs
    if content[:1] == b"\x80" and not _OPCODES.match(content):
        # Numbers that a text pickle escapes begin like this now and then.
        seen = glance(content)
        return seen.names > 0 or seen.stopped or seen.cut or seen.opcodes >= _PLAUSIBLE
    return True


def _hand_on(encoding: str, content: bytes, raw: bytes, at: int, start: int, sink: Sink) -> None:
    offset = start + at
    sink.fact(
        # Stable-Baselines3 writes the pickles of an agent like that; what they do is judged below.
        "text.serialized" if raw[max(0, at - 20) : at].rstrip(b' "').endswith(b'":serialized:":') else "text.encoded",
        offset,
        key="",
        encoding=encoding,
        size=len(content),
        head=content[:8].hex(),
        line=raw.count(b"\n", 0, at) + 1,
    )
    hint = "pickle" if content[:1] in (b"\x80", b"c", b"(") else "python" if content.startswith((b"import ", b"from ")) else ""
    sink.child(f"{encoding}@{offset}", content, offset=offset, hint=hint)


def _inflates(content: bytes) -> bool:
    import zlib

    try:
        zlib.decompressobj().decompress(content, 4096)
    except zlib.error:
        return False
    return True
