"""Makes numpy load without what capture does not use: a fifth of its time, and threads for multiplying matrices."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

__all__ = ["load_numpy", "slim_numpy"]

#: The modules of numpy that do nothing but attach help texts to what is written in C. numpy omits them by itself where
#: Python runs with `-OO`.
_HELP_TEXTS: Final = ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars")

#: The types of arrays, of which numpy itself needs one, in annotations.
_TYPES: Final = "numpy._typing"

_THREADS: Final = "OPENBLAS_NUM_THREADS"


class _AnyArray:
    """Takes the place of `NDArray` in the annotations of numpy's own functions."""

    def __class_getitem__(cls, item: object) -> type[_AnyArray]:
        return cls


class _LateTypes(ModuleType):
    """Loads numpy's types when something asks for more of them than numpy does."""

    NDArray: Any = _AnyArray

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_TYPES) is self:
            del sys.modules[_TYPES]
        # An import under way takes all its names from this module.
        vars(self).update(vars(importlib.import_module(_TYPES)))
        return vars(self)[name]


def load_numpy() -> None:
    """Import numpy as `slim_numpy` makes it load."""
    undo = slim_numpy()
    importlib.import_module("numpy")
    undo()


def slim_numpy() -> Callable[[], None]:
    """Make numpy load without its threads, its help texts and its types.

    It would start a thread for each processor, and they spin at first: 0.1 s of CPU time. Attaching the texts and
    making the types takes a quarter of the import. Once it is loaded, call what this returns, as often as you like:
    programs that capture starts keep their threads.
    """
    if "numpy" not in sys.modules:
        for name in _HELP_TEXTS:
            sys.modules.setdefault(name, ModuleType(name))
        sys.modules.setdefault(_TYPES, _LateTypes(_TYPES))
    if _THREADS in os.environ:
        return lambda: None
    os.environ[_THREADS] = "1"

    def restore_threads() -> None:
        os.environ.pop(_THREADS, None)

    return restore_threads
