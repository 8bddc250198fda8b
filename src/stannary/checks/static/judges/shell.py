# ruff: noqa: E501 - a table of patterns, one a line
"""What a command line does, as far as its words tell: used for Python, notebooks, YAML, JSON and scripts.

`classify` returns one of the kinds below with the words that show it, worst first:

reverse-shell   a shell handed to the network
decode-run      encoded text piped into an interpreter
download-run    something fetched and run at once
steal           credentials or the environment sent out
persist         something made to run at the next start or log-in
web-shell       a page that runs what a visitor sends
script-host     a script that asks Windows Script Host for a shell or a download
destroy         the home folder, the root or a disk wiped
installer       a well-known installer piped into a shell
fetch           a download over TLS from an address that is not doubtful, and development tools
other           a program that is not a development tool, or a command that is not known
tool            development tools only
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stannary.checks.static.judges.addresses import doubtful_address, hostile_address
from stannary.checks.static.judges.word_sets import contains_any, words

__all__ = ["HOSTILE", "Command", "classify"]

HOSTILE = frozenset({"script-host", "web-shell", "reverse-shell", "decode-run", "download-run", "steal", "persist", "destroy"})
_INTERPRETER = r"(?:sudo\s+(?:-\w+\s+)*)?(?:/\S*/)?(?:env\s+)?(?:bash|sh|zsh|dash|ksh|ash|fish|python[\d.]*|perl|ruby|node|php|pwsh|powershell|iex|cmd)\b"
_FETCH = r"\b(?:curl|wget|fetch|aria2c|lwp-request|Invoke-WebRequest|iwr|Invoke-RestMethod|irm)\b"
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for kind, pattern in (
        ("script-host", r"(?:^|[,;\t\"])\s*[=+@-]\s*(?:cmd|powershell|mshta|msexcel|rundll32|regsvr32|certutil|dde)\s*\|"),
        ("reverse-shell", r"/dev/(?:tcp|udp)/[\w.{}$-]+/|\b(?:bash|sh|zsh)\s+-i\b[^\n]{0,80}[<>]&|\b(?:nc|ncat|netcat)\b[^\n|;]{0,120}\s-\w*[ec]\w*\s+\S*(?:sh|cmd|bash)\b"),
        ("reverse-shell", r"mkfifo\b[^\n]{0,200}\b(?:nc|ncat|netcat|telnet|openssl)\b|\bsocat\b[^\n]{0,200}\bexec:|\b(?:python[\d.]*|perl|ruby|php)\s+-\w*[cer]\b[^\n]{0,300}(?:socket|TCPSocket|fsockopen)[^\n]{0,400}(?:/bin/\w*sh|dup2|spawn|exec)"),
        ("decode-run", rf"\b(?:base64|base32|xxd|openssl\s+\w+|uudecode|gunzip|zcat|rev|tr)\b[^\n;]{{0,400}}\|\s*{_INTERPRETER}|{_INTERPRETER}[^\n]{{0,40}}(?:<\(|\$\(|`)[^\n]{{0,400}}base64\s+-+d|powershell(?:\.exe)?\b[^\n]{{0,120}}\s-e(?:nc|ncodedcommand)?\s+[A-Za-z0-9+/=]{{8,}}"),
        ("decode-run", r"\bpython[\d.]*\s+-\w*c\b[^\n]{0,200}\bexec\s*\([^\n]{0,200}(?:b64decode|decompress|fromhex|marshal)"),
        ("download-run", rf"{_FETCH}[^\n;]{{0,400}}\|\s*(?:tee\s+\S+\s*\|\s*)?{_INTERPRETER}(?!\s+-m\s+(?:json|tarfile|zipfile))|{_INTERPRETER}\s*(?:-\w+\s+)*[\"']?(?:<\(|\$\(|`)\s*{_FETCH}|(?:eval|source|\.)\s+[\"']?(?:<\(|\$\(|`)\s*{_FETCH}"),
        ("download-run", rf"{_FETCH}[^\n]{{0,400}}(?:&&|;|\n)\s*(?:sudo\s+)?(?:chmod\s+[^\n;&]{{0,80}}(?:&&|;|\n)\s*(?:sudo\s+)?(?:(?:nohup|exec|bash|sh)\s+)?\S*/\S+|(?:bash|sh|python[\d.]*)\s+\S*/?(?:tmp|dev/shm)\S*)"),
        ("download-run", r"\b(?:IEX|Invoke-Expression)\b[^\n]{0,200}(?:DownloadString|Invoke-WebRequest|iwr|irm|WebClient)|(?:certutil|bitsadmin|mshta|regsvr32|rundll32)\b[^\n]{0,200}https?:|DownloadString\s*\([^\n]{0,200}\|\s*IEX"),
        ("download-run", r"\bpython[\d.]*\s+-\w*c\b[^\n]{0,300}(?:urlopen|requests\.get)[^\n]{0,300}exec|exec\s*\([^\n]{0,120}(?:urlopen|requests\.get)"),
        ("download-run", r"\bpip[\d.]*\s+install\b[^\n;&|]{0,300}\s(?:(?:-i|-f|--(?:extra-)?index-url|--find-links)[= ]\s*|\w[\w.\[\]-]*\s*@\s*|git\+)?http://(?!localhost|127\.0\.0\.1)"),
        ("persist", r">>?\s*[\"']?(?:~|\$HOME|\$\{HOME\}|/root|/home/\w+)/\.(?:bashrc|profile|bash_\w+|zshrc|zshenv|zprofile|ssh/(?:authorized_keys|rc|config)|config/(?:autostart|systemd|fish|git)|gitconfig|pythonrc|inputrc|vimrc|tmux\.conf|ipython/|jupyter/|local/share/jupyter/kernels|pip/|pypirc|npmrc|xprofile|xinitrc|netrc)|>>?\s*\S*(?:Library/LaunchAgents/|\b(?:site|user)customize\.py\b|\.pth\b(?=\n|\s*$)\n?import)|\bcrontab\s+-(?!l)|\|\s*crontab\b|>>?\s*[\"']?(?:/etc/(?:cron|profile|rc\.local|ld\.so\.|sudoers|passwd|shadow|systemd|init\.d|bash|zsh|environment|ssh)|/var/spool/cron|/(?:usr/)?lib/systemd)|authorized_keys"),
        ("script-host", r"\b(?:CreateObject|ActiveXObject|GetObject)\s*\(\s*[\"'](?:WScript\.(?:Shell|Network)|Shell\.Application|ADODB\.Stream|Schedule\.Service|winmgmts:|script:)|\bCreateObject\s*\(\s*[\"'](?:MSXML2\.|Microsoft\.XMLHTTP|WinHttp\.)"),
        ("web-shell", r"\b(?:system|exec|passthru|shell_exec|popen|proc_open|eval|assert)\s*\(\s*(?:\w+\s*\(\s*)?\$_(?:GET|POST|REQUEST|COOKIE|SERVER)\b|getRuntime\(\)\s*\.exec\s*\(\s*request\."),
        ("destroy", r"\brm\s+(?:-\w+\s+|--\S+\s+)*-\w*[rR]\w*\s+(?:-\S+\s+)*[\"']?(?:/|~|\$HOME|/\*|/home|/root|/etc|/usr|/var)[\"'/]?\*?(?:\s|$|[\"';&|])|\bmkfs\.?\w*\s+/dev/|\bdd\b[^\n]{0,80}of=/dev/(?:sd|nvme|hd|vd|disk)|:\(\)\s*\{\s*:\|:&\s*\};:|>\s*/dev/sd[a-z]"),
    )
)  # fmt: skip
_SEND = re.compile(
    r"\b(?:curl|wget|nc|ncat|netcat|scp|rsync|ftp|telnet|mail|sendmail|Invoke-WebRequest|iwr|nslookup|dig)\b", re.IGNORECASE
)
_ENVIRONMENT = re.compile(
    r"(?:^|[\s;&|(`])(?:env|printenv|set)\s*(?:\||>|\)|`)|\$\((?:env|printenv)\)|\$\{?AWS_SECRET|\$\{?(?:HF_TOKEN|GITHUB_TOKEN|OPENAI_API_KEY)\b[^\n]{0,60}(?:\||-d)"
)
# What packs files, or tells of them, into what sends them on.
_PACKED = re.compile(
    r"\b(?:tar|zip|gzip|base64|env|printenv|find|history|mysqldump|pg_dump)\b[^\n|]{0,200}\|[^\n]{0,200}?\b(?:curl\b[^\n]{0,200}(?:-T|--upload-file|@)\s*-|(?:nc|ncat|ssh)\b)",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"\n|;|&&|\|\||\||&(?!>)")
_ASSIGNMENT = re.compile(r"^\w+=\S*$")
_PREFIXES = frozenset(
    ["sudo", "env", "nohup", "time", "exec", "command", "builtin", "then", "do", "else", "if", "!", "nice", "timeout", "xargs"]
)
_FETCHERS = frozenset({"curl", "wget", "gdown", "aria2c", "axel"})
_INLINE_CODE = re.compile(r"\b(?:node|perl|ruby|php)\s+(?:-\w+\s+)*-\w*[er]\b")


class Command(NamedTuple):
    """What a command line was found to do, and the words that show it."""

    kind: str
    shown: str


def classify(command: str) -> Command:
    """Return the worst thing that a command line is seen to do."""
    text = command[:20_000]
    for kind, pattern in _PATTERNS:
        match = pattern.search(text)
        if match:
            shown = match[0].strip()[:160]
            if kind == "download-run" and contains_any(text, "known_installers") and not doubtful_address(text):
                return Command("installer", shown)
            return Command(kind, shown)
    if _SEND.search(text):
        stolen = contains_any(text, "secret_paths") or bool(_ENVIRONMENT.search(text))
        if stolen and re.search(r"-d\b|--data|-F\b|-T\b|--upload|--post|\||@|scp|nc\b|dig\b|nslookup", text):
            return Command("steal", text.strip()[:160])
        if hostile_address(text) and _PACKED.search(text):
            return Command("steal", text.strip()[:160])
    if not text.strip():
        return Command("tool", "")
    tools = words("shell_tools")
    kind = "tool"
    for part in _SPLIT.split(text):
        program = _program(part)
        if program in _FETCHERS and not doubtful_address(text):
            kind = "fetch"
        elif program and (program not in tools or _INLINE_CODE.search(part)):
            return Command("other", part.strip()[:160])
    return Command(kind, text.strip()[:160])


def _program(part: str) -> str:
    """Return the program name of one simple command; empty for none, `?` for one that is not known."""
    for word in part.replace('"', " ").replace("'", " ").split():
        if _ASSIGNMENT.match(word) or word in _PREFIXES or word.startswith("-"):
            continue
        if word.startswith("<sys.executable>"):
            return "python"
        if word.startswith(("<", "{", "$")):
            return "?"
        return word.rsplit("/", 1)[-1].lower() if not word.startswith(("/tmp", "/dev/shm", "./")) else word  # noqa: S108 - a text
    return ""
