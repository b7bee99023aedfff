"""What is printed while a server starts does not end it."""

from __future__ import annotations

import errno
import io

from ensue.cli.startup import _LastingConsole


class Disk(io.StringIO):
    """Full until told otherwise."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_lines_wait_while_the_disk_is_full() -> None:
    disk = Disk()
    console = _LastingConsole(file=disk)
    console.print("one")
    disk.is_full = False
    console.print("two")
    assert disk.getvalue() == "one\ntwo\n"
