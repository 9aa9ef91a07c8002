"""Lets modules that libraries import, but a recording does not use, load when something asks for what is in them."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Final

__all__ = ["LateModule", "forget_stand_ins", "make_late"]

#: Two threads may ask at once.
_lock: Final = threading.Lock()

#: What an import of a module in a package asks of the package.
_PATH: Final = "__path__"


class LateModule(ModuleType):
    """Takes the place of a module, with stand-ins for what is used of it while libraries load."""

    def __init__(self, name: str, *, is_package: bool) -> None:
        super().__init__(name)
        self._is_package = is_package
        self._stand_ins: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and not (name == _PATH and self._is_package):
            raise AttributeError(name)
        place = self.__name__
        with _lock:
            if sys.modules.get(place) is self:
                del sys.modules[place]
        loaded = importlib.import_module(place)
        # An import under way takes all its names from this module.
        vars(self).update(vars(loaded))
        return getattr(loaded, name)

    def stand_in(self, stand_ins: Mapping[str, Any]) -> None:
        self._stand_ins.update(stand_ins)
        vars(self).update(stand_ins)

    def forget_stand_ins(self) -> None:
        for name, value in self._stand_ins.items():
            if vars(self).get(name) is value:
                del vars(self)[name]
        self._stand_ins.clear()


def make_late(name: str, stand_ins: Mapping[str, Any] = MappingProxyType({}), *, is_package: bool = False) -> None:
    """Let the module `name` load when something asks for more of it than `stand_ins`, unless it is loaded.

    May be called again, for other stand-ins.
    """
    late = sys.modules.setdefault(name, LateModule(name, is_package=is_package))
    if isinstance(late, LateModule):
        late.stand_in(stand_ins)


def forget_stand_ins() -> None:
    """Let every late module load for what had a stand-in, too. Call it once the libraries are loaded."""
    for module in tuple(sys.modules.values()):
        if isinstance(module, LateModule):
            module.forget_stand_ins()
