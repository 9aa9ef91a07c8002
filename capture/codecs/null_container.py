"""A container that writes nothing: PyAV only makes encoders with a template stream inside a container."""

from __future__ import annotations

import av
from av.container import OutputContainer

__all__ = ["open_null_container"]


def open_null_container() -> OutputContainer:
    """Open a container for encoders whose packets go elsewhere; close it when they are done."""
    return av.open("-", "w", format="null")
