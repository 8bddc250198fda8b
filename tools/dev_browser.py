"""The browser of the console's tests, for ./dev: Debian's Chromium and its driver, installed where that is asked for.

Standard library only. A machine is changed only by its root, or in CI; elsewhere the tests say that they are left out.
"""

from __future__ import annotations

import os
import shutil

from dev_environments import run

PROGRAMS = ("chromium", "chromedriver")
PACKAGES = ("chromium", "chromium-driver")


def ensure_browser() -> bool:
    """Install what is not there of Chromium and its driver, and tell whether both are there. Never ends the run: it says why."""
    if all(map(shutil.which, PROGRAMS)):
        return True
    why = _install()
    if why:
        print(f"LEFT OUT, as {why}: the console in a real Chromium (tests/e2e/test_console.py)", flush=True)
    return not why


def _install() -> str:
    """Install them; return why that was not possible, or an empty text."""
    apt = shutil.which("apt-get")
    if apt is None:
        return "there is no chromium with its driver, and no apt-get"
    asked = os.environ.get("CI", "").lower() not in ("", "0", "false")
    root = os.name == "posix" and os.geteuid() == 0
    sudo = shutil.which("sudo") if asked and not root else None
    if not root and sudo is None:
        return "there is no chromium with its driver, and only root installs them (Debian: chromium, chromium-driver)"
    command = [*([sudo, "-n"] if sudo else []), "env", "DEBIAN_FRONTEND=noninteractive", apt, "-qq"]
    print(f"installing {' and '.join(PACKAGES)}", flush=True)
    # What is known of the packages may be too old to be had; without it, what is known is tried.
    run([*command, "update"])
    options = ["--yes", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]
    if run([*command, "install", *options, *PACKAGES]):
        return "apt-get could not install chromium with its driver"
    return "" if all(map(shutil.which, PROGRAMS)) else "what apt-get installed is no chromium with its driver"
