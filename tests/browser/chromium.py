"""Prints where Chromium is. Debian's package is installed where it is missing and this may install it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGE = "chromium"


def main() -> str:
    found = find()
    if found is None:
        install()
        found = find()
    return found or sys.exit("Chromium was installed, but is not on PATH.")


def find() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


def install() -> None:
    as_root = [] if os.geteuid() == 0 else [shutil.which("sudo"), "--non-interactive"]
    if shutil.which("apt-get") is None or None in as_root:
        sys.exit(f"The browser tests need Chromium. Install it, on Debian: apt-get install {PACKAGE}")
    print("Installing Chromium …", file=sys.stderr, flush=True)
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2"]
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", PACKAGE]):
        if subprocess.run([*map(str, apt), *arguments], stdout=sys.stderr, check=False).returncode != 0:
            sys.exit(f"apt-get failed: install {PACKAGE} by hand.")


if __name__ == "__main__":
    print(main())
