"""A progress bar on stderr, and only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stannary.cli.talk import Talk, wants_color
from stannary.run.progress import OnProgress, Progress

__all__ = ["progress_bar"]

_QUIET = 0.8  # seconds before anything is drawn: short runs stay silent


@contextmanager
def progress_bar(talk: Talk, what: str) -> Iterator[OnProgress | None]:
    """Yield a callback that draws, or None when nobody is watching. The bar is gone when it is over."""
    if (
        talk.verbosity < 0
        or not sys.stderr.isatty()
        or not wants_color(sys.stderr, "auto" if talk.color == "never" else talk.color)
    ):
        yield None
        return
    bar = _Bar(what, color=talk.color != "never")
    try:
        yield bar
    finally:
        bar.close()


class _Bar:
    """Imports rich when the run turns out to be long enough to be watched."""

    def __init__(self, what: str, *, color: bool) -> None:
        self._what = what
        self._color = color
        self._drawn: object = None
        self._task: object = None

    def __call__(self, progress: Progress) -> None:
        if self._drawn is None:
            if progress.elapsed < _QUIET:
                return
            self._open()
        from rich.progress import Progress as Drawn

        assert isinstance(self._drawn, Drawn)  # noqa: S101 - the type is not imported at module level
        by_bytes = progress.bytes_total > 0
        self._drawn.update(
            self._task,  # type: ignore[arg-type]
            completed=progress.bytes if by_bytes else progress.items,
            total=progress.bytes_total if by_bytes else progress.items_total or None,
            words=self._words(progress),
            refresh=True,
        )

    def close(self) -> None:
        """Take the bar away."""
        if self._drawn is not None:
            self._drawn.stop()  # type: ignore[attr-defined]

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Drawn

        console = Console(stderr=True, no_color=not self._color, highlight=False)
        self._drawn = Drawn(
            TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[words]}", markup=False),
            console=console, transient=True, auto_refresh=False,
        )  # fmt: skip
        self._drawn.start()
        self._task = self._drawn.add_task(self._what, total=None, words="")

    def _words(self, progress: Progress) -> str:
        from stannary.report.wording import human_seconds, human_size

        words = [f"{progress.items:,}/{progress.items_total:,} files", human_size(progress.bytes)]
        if progress.rate:
            words.append(f"{human_size(int(progress.rate))}/s")
        if progress.left is not None:
            words.append(f"{human_seconds(progress.left)} left")
        return " · ".join(words)
