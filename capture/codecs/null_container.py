"""A container that writes nothing: PyAV only makes encoders with a template stream inside a container."""

from __future__ import annotations

import av
from av.container import OutputContainer
from av.stream import Stream

__all__ = ["StreamCopy", "open_null_container"]


def open_null_container() -> OutputContainer:
    """Open a container for encoders whose packets go elsewhere; close it when they are done."""
    return av.open("-", "w", format="null")


class StreamCopy:
    """A copy of an encoder's `template` for muxers to use after the encoder is closed.

    PyAV 19 takes no template from a closed container, so this has its own. Keep it while you use its `stream`.
    """

    def __init__(self, template: Stream) -> None:
        self._container = open_null_container()
        self.stream: Stream = self._container.add_stream_from_template(template, opaque=True)

    def __del__(self) -> None:
        # The container and its stream refer to each other.
        self._container.close()
