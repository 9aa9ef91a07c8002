"""The protocols of sources. A new device is a class that implements one of them."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from capture.media import Frame, Samples

__all__ = ["IDLE_INTERVAL_S", "FrameSource", "KeepingSource", "SampleSource"]

#: How often `idle` is called. A lost display is reported within this time.
IDLE_INTERVAL_S: Final = 1.0


class FrameSource(Protocol):
    """A source of pictures.

    One thread calls all methods, in the order below. Two are exceptions: `idle` may be called whenever the source is
    open, and any thread may call `wake`.
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def open(self) -> None:
        """Get ready to grab; the size is known from here on. Raises `NotReadyError` when that is impossible."""
        ...

    def begin(self, epoch_s: float) -> None:
        """Start the recording at `epoch_s`; a synthetic source starts its content there."""
        ...

    def wait_for_change(self, until_s: float) -> bool:
        """Block until the picture differs from the last grabbed one, or until `until_s`; return whether it differs."""
        ...

    def grab(self) -> Frame:
        """Return the picture as it is now, in memory that the source does not touch again. Raises `SourceLostError`.

        Its pixels may be yet to be read, as `Strips`. The first frame after `begin` is whole. A later one may be only
        the part that changed since the one before, with even position and size.
        """
        ...

    def idle(self) -> None:
        """Handle pending events without waiting. Called now and then while nothing is grabbed, as in a pause.

        Raises `SourceLostError`.
        """
        ...

    def wake(self) -> None:
        """Make a thread in `wait_for_change` return at once."""
        ...

    def close(self) -> None:
        """Release the device; may be called twice."""
        ...


class SampleSource(Protocol):
    """A source of sound.

    One thread calls all methods, in the order below, except `wake`, which any thread may call.
    """

    @property
    def name(self) -> str:
        """The source as the user asked for it: `internal`, `mic`, `app:NAME` or a device id."""
        ...

    @property
    def device(self) -> str:
        """The readable name of the device behind it; known once opened."""
        ...

    @property
    def channels(self) -> int: ...

    def open(self) -> None:
        """Connect and start capturing, without waiting for sound. Raises `NotReadyError`."""
        ...

    def begin(self, epoch_s: float) -> None:
        """Start the recording at `epoch_s`; earlier samples are not needed."""
        ...

    def read(self, until_s: float) -> Samples | None:
        """Block for the next samples, without gaps; return None after `wake`, or when none came until `until_s`.

        After `wake`, a source that knows that no samples can come now returns a block without samples: nothing was
        heard before the block's time stamp.

        Raises `SourceLostError` when the device is gone.
        """
        ...

    def wake(self) -> None:
        """Make a thread in `read` return at once."""
        ...

    def close(self) -> None:
        """Release the device; may be called twice."""
        ...


@runtime_checkable
class KeepingSource(Protocol):
    """A source that can keep the beginning of a recording while the recorder still loads what encodes it.

    Other sources have no such method: with them, a recording begins when everything is loaded.
    """

    def settle(self) -> bool:
        """Wait a moment for what comes first; return whether everything from now on is kept for the first `begin`.

        Called once, after `open` and by the same thread. A source of frames gets hold of the picture as it is now; the
        first `grab` returns it if `begin` is called with an epoch before that. numpy may not be loaded yet.
        """
        ...
