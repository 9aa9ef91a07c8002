"""The protocols between the stages. A new device or sink is a class that fits one of them."""

from __future__ import annotations

from typing import Final, Protocol

from capture.media import Frame, Samples

__all__ = ["IDLE_INTERVAL_S", "FrameSource", "SampleSource"]

#: How often a source is asked to `idle`: a display that is gone is told within this.
IDLE_INTERVAL_S: Final = 1.0


class FrameSource(Protocol):
    """Something to look at.

    All methods are called by one thread, in the order they stand here, but for `idle`, which may be called whenever it
    is open, and `wake`, which any thread may call.
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def open(self) -> None:
        """Make ready to grab; the size is known from here on. Raises `NotReadyError` where that cannot be."""
        ...

    def begin(self, epoch_s: float) -> None:
        """The recording begins at `epoch_s`; a source that makes its own content starts it there."""
        ...

    def wait_for_change(self, until_s: float) -> bool:
        """Block until the picture differs from the one last grabbed, or until `until_s`; return whether it does."""
        ...

    def grab(self) -> Frame:
        """The picture as it is now, in memory that the source does not touch again. Raises `SourceLostError`.

        The first after `begin` is whole, any other may be the part alone that has changed since the one before, of even
        sides and at an even place.
        """
        ...

    def idle(self) -> None:
        """Take in what has happened, without waiting: called now and then while nothing is grabbed, as in a pause.

        Raises `SourceLostError`.
        """
        ...

    def wake(self) -> None:
        """Make a thread in `wait_for_change` return at once."""
        ...

    def close(self) -> None:
        """Give the device back; may be called twice."""
        ...


class SampleSource(Protocol):
    """Something to listen to.

    All methods are called by one thread, in the order they stand here, but for `wake`, which any may call.
    """

    @property
    def name(self) -> str:
        """What the user asked for: `internal`, `mic`, or a device id."""
        ...

    @property
    def device(self) -> str:
        """The device behind it, as a person knows it; known once opened."""
        ...

    @property
    def channels(self) -> int: ...

    def open(self) -> None:
        """Connect and start capturing. Raises `NotReadyError`; no sound is needed for it to return."""
        ...

    def begin(self, epoch_s: float) -> None:
        """The recording begins at `epoch_s`; what was heard before is not needed."""
        ...

    def read(self, until_s: float) -> Samples | None:
        """Block for the next samples, none skipped; None after `wake`, or when nothing came until `until_s`.

        After `wake` a source that knows that nothing can come just now says so with a block without samples: up to its
        moment nothing was heard.

        Raises `SourceLostError` when the device is gone.
        """
        ...

    def wake(self) -> None:
        """Make a thread in `read` return at once."""
        ...

    def close(self) -> None:
        """Give the device back; may be called twice."""
        ...
