"""Plays what a paused recording holds so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from capture.events import EventKind

if TYPE_CHECKING:
    from capture.playback.preview import Preview

__all__ = ["Previews"]


class Previews:
    """The previews of one recording, one at a time. One thread at a time uses it."""

    def __init__(self) -> None:
        self._playing: Preview | None = None

    def play(self, path: Path, record_event: Callable[[EventKind, str], None]) -> None:
        """Play the file at `path` from the start, even if it is already playing.

        If that fails, its thread calls `record_event`.
        """
        # Imported here because few recordings are previewed.
        from capture.playback.preview import Preview

        def report() -> None:
            if preview.error is not None:
                record_event(EventKind.NO_PREVIEW, f"the preview failed: {preview.error}")

        self.stop()
        preview = self._playing = Preview(path, report)
        preview.start()

    def stop(self) -> float:
        """Stop playing; return the moment when the last sample has been heard, or minus infinity if nothing played."""
        preview, self._playing = self._playing, None
        return preview.stop() if preview is not None else -math.inf
