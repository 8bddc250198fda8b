"""Draw the pictures of the README from real output: `docs/images/scan.svg`, `docs/images/gate.svg`.

    python tools/build_images.py

The models are those of `stannary demo`; the scan is a real one. Only its duration is fixed, so that
the picture changes when the output does.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from stannary.checks.static import ruleset
from stannary.checks.static.scan import ScanOptions, Target, scan_paths
from stannary.cli.demo import make_models
from stannary.cli.main import run
from stannary.report.interface import Context
from stannary.report.table import document, draw

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images"
_WIDTH = 112
# The last command of each is shown; the others lead to it.
_CHAIN = (
    "init --no-passphrase",
    "scan chat --record",
    "sign chat --record",
    "gate chat --policy production",
    "bom chat --record -o chat.cdx.json",
    "attest chat --topic approval --decision approve --statement tested",
    "gate chat --policy production",
)
_SHOWN = (3, 6)


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        make_models(Path(folder))
        result = scan_paths([Target(path=f"{folder}/downloads", display="downloads")], ScanOptions(jobs=1))
    result = msgspec.structs.replace(result, summary=msgspec.structs.replace(result.summary, seconds=0.042))
    console = _console()
    console.print(Text.assemble(("$ ", "bold green"), "stannary scan downloads"))
    draw(document(result, Context(rules=ruleset.load().rules)), console)
    _write(console, "scan")
    console = _console()
    for command, text in _chain():
        console.print(Text.assemble(("$ ", "bold green"), f"stannary {command}"))
        console.print(Text.from_ansi(text))
    _write(console, "gate")


def _chain() -> Iterator[tuple[str, str]]:
    """Yield the commands that are shown, with what they print in a workspace of their own."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        make_models(Path(folder))
        (Path(folder) / "ours" / "chat").rename(Path(folder) / "chat")
        for number, command in enumerate(_CHAIN):
            out = io.StringIO()
            more = ["--color", "always"] if number in _SHOWN else []
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                run([*command.split(), *more])
            if number in _SHOWN:
                yield command, out.getvalue()


def _console() -> Console:
    return Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False)


def _write(console: Console, name: str) -> None:
    svg = console.export_svg(title=f"stannary {name}", unique_id=f"stannary-{name}")
    # The fonts of rich's template come from the network; the reader's own will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace")
    TARGET.mkdir(parents=True, exist_ok=True)
    (TARGET / f"{name}.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
    print(f"docs/images/{name}.svg")


if __name__ == "__main__":
    main()
