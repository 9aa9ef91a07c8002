"""Makes numpy, and PyAV after it, load without what capture does not use: a fifth of their time, and numpy's threads.

Help texts are attached to what is written in C, the arguments of functions are compared, and modules of Python are
imported that only serve to pickle, to inspect or to log.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Final

from capture.cli.late_modules import forget_stand_ins, make_late

__all__ = ["load_numpy", "slim_numpy"]

#: The modules of numpy that do nothing but attach help texts to what is written in C. numpy omits them by itself where
#: Python runs with `-OO`.
_HELP_TEXTS: Final = ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars")

#: The modules of Python of which numpy uses nothing while it loads.
_UNUSED: Final = ("ast", "pickle", "platform", "textwrap")

#: The flags of code objects, of which Cython's modules ask `inspect`.
_CODE_FLAGS: Final = {
    "CO_OPTIMIZED": 0x1,
    "CO_NEWLOCALS": 0x2,
    "CO_VARARGS": 0x4,
    "CO_VARKEYWORDS": 0x8,
    "CO_GENERATOR": 0x20,
    "CO_COROUTINE": 0x80,
    "CO_ASYNC_GENERATOR": 0x200,
}

_THREADS: Final = "OPENBLAS_NUM_THREADS"


class _AnyArray:
    """Takes the place of `NDArray` in the annotations of numpy's own functions."""

    def __class_getitem__(cls, item: object) -> type[_AnyArray]:
        return cls


class _Logger:
    """Takes the place of `logging.Logger`, of which PyAV asks whether its own logger exists."""

    class manager:  # noqa: N801 - as the attribute is called
        loggerDict: Final = frozenset({"libav"})  # noqa: N815 - as the attribute is called


def load_numpy() -> None:
    """Import numpy as `slim_numpy` makes it load."""
    undo = slim_numpy()
    importlib.import_module("numpy")
    undo()


def slim_numpy() -> Callable[[], None]:
    """Make numpy and PyAV load without numpy's threads, its help texts and types, and modules that nothing uses.

    Numpy would start a thread for each processor, and they spin at first: 0.1 s of CPU time. Attaching the texts and
    making the types takes a quarter of its import. Once both are loaded, call what this returns, as often as you like:
    programs that capture starts keep their threads, and modules that were left out load when they are used.
    """
    if "numpy" not in sys.modules:
        for name in _HELP_TEXTS:
            sys.modules.setdefault(name, ModuleType(name))
        make_late("numpy._typing", {"NDArray": _AnyArray})
        # The arguments of each of its three hundred functions are compared with those of a second function.
        make_late("numpy._utils._inspect", {"getargspec": lambda function: ((), None, None, None)})
        # Data classes without a text of their own get one that lists their arguments.
        make_late("inspect", {"signature": lambda function: None, "cleandoc": lambda text: text, **_CODE_FLAGS})
        make_late("logging", {"Logger": _Logger}, is_package=True)
        for name in _UNUSED:
            make_late(name)
    restores_threads = _THREADS not in os.environ
    if restores_threads:
        os.environ[_THREADS] = "1"

    def undo() -> None:
        forget_stand_ins()
        if restores_threads:
            os.environ.pop(_THREADS, None)

    return undo
