"""Where the makers of benign models write: one method per way of saving, failures noted."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

CODECS = (("zlib", 3), ("zlib", 9), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3), ("lz4", 3))


class Out:
    """A folder to write to; `tag` starts every file's name."""

    def __init__(self, folder: Path, tag: str, small: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.tag = tag
        self.small = small
        self.count = 0
        self.problems: list[str] = []
        self.missing: list[str] = []
        self._turn = 0

    def write(self, name: str, save: Callable[[str], Any]) -> None:
        """Call `save(path)`; a failure removes the file and is noted, since not every version can save everything."""
        path = self.folder / f"{self.tag}-{name}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                save(str(path))
            self.count += 1
        except Exception as exc:  # noqa: BLE001 - any library, any failure
            self.problems.append(f"{name}: {type(exc).__name__}: {str(exc)[:120]}")
            if path.is_file():
                path.unlink()

    def tried(self, make: Callable[..., Any], *args: Any, label: str = "") -> Any:
        """Return make(*args), or None with the failure noted."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return make(*args)
        except ImportError as exc:
            self.missing.append(str(exc.name or exc))
            return None
        except Exception as exc:  # noqa: BLE001 - any library, any failure
            self.problems.append(f"{label or getattr(make, '__name__', make)}: {type(exc).__name__}: {str(exc)[:120]}")
            return None

    def pickle(self, name: str, value: Any, protocol: int | None = None, with_module: Any = pickle) -> None:
        """Pickle `value`; without a protocol the protocols take turns."""
        if value is None:
            return
        if protocol is None:
            self._turn += 1
            protocol = self._turn % (pickle.HIGHEST_PROTOCOL + 1)

        def save(path: str) -> None:
            with open(path, "wb") as handle:  # noqa: PTH123 - the idiom that people use
                with_module.dump(value, handle, protocol)

        self.write(f"{name}-p{protocol}.pkl", save)

    def joblib(self, name: str, value: Any, compress: Any = 0) -> None:
        """Save by joblib, raw or with (codec, level)."""
        try:
            import joblib
        except ImportError:  # before scikit-learn 0.21 it came along
            from sklearn.externals import joblib

        label = "raw" if not compress else "-".join(str(c) for c in compress)
        self.write(f"{name}-{label}.joblib", lambda path: joblib.dump(value, path, compress=compress))
