"""Draw the pictures of the README from real output: `docs/images/scan.svg`.

    python tools/build_images.py

The models are those of `stannary demo`; the scan is a real one. Only its duration is fixed, so that
the picture changes when the output does.
"""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from stannary.checks.static import ruleset
from stannary.checks.static.scan import ScanOptions, Target, scan_paths
from stannary.cli.demo import make_models
from stannary.report.interface import Context
from stannary.report.table import document, draw

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "scan.svg"
_WIDTH = 112


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        make_models(Path(folder))
        result = scan_paths([Target(path=f"{folder}/downloads", display="downloads")], ScanOptions(jobs=1))
    result = msgspec.structs.replace(result, summary=msgspec.structs.replace(result.summary, seconds=0.042))
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False)
    console.print(Text.assemble(("$ ", "bold green"), "stannary scan downloads"))
    draw(document(result, Context(rules=ruleset.load().rules)), console)
    svg = console.export_svg(title="stannary scan", unique_id="stannary")
    # The fonts of rich's template come from the network; the reader's own will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace")
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
    print(TARGET.relative_to(Path.cwd()) if TARGET.is_relative_to(Path.cwd()) else TARGET)


if __name__ == "__main__":
    main()
