"""A container that goes nowhere: in PyAV an encoder whose stream can serve as a template lives in one."""

from __future__ import annotations

import av
from av.container import OutputContainer

__all__ = ["open_nowhere"]


def open_nowhere() -> OutputContainer:
    """A container for encoders whose packets go elsewhere; to be closed when they are done."""
    return av.open("-", "w", format="null")
