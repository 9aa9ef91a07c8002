"""A container that writes nothing: PyAV only makes encoders with a template stream inside a container."""

from __future__ import annotations

import av
from av.container import OutputContainer

__all__ = ["open_nowhere"]


def open_nowhere() -> OutputContainer:
    """Open a container for encoders whose packets go elsewhere; close it when they are done."""
    return av.open("-", "w", format="null")
