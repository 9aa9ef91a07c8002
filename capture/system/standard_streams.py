"""Keeps the descriptors of standard input, output and error away from files.

A program may be started with some of them closed, as by `2>&-` in a shell. The next file that it opens then gets that
number, and whatever a library prints ends up in the file: in a recording, for one.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["fill_closed"]

#: How to open the null device in place of each. One that cannot be written to makes a write to a closed standard output
#: fail as it should; what goes to a closed standard error is for nobody.
_MODES: Final = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)


def fill_closed() -> None:
    """Open the null device in place of each standard stream that is closed; programs started later inherit it.

    Takes microseconds. Raises `OSError` when there is no null device.
    """
    for descriptor, mode in enumerate(_MODES):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
