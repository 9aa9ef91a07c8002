"""A sound source that survives its device: a lost source is reopened, and until then there is silence.

A sound server dies, a device is unplugged, a library fails in some way of its own: to a recording all of these are the
same thing, sound that is missing for a while.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from capture.clock import Clock
from capture.errors import CaptureError, NotReadyError, in_one_line
from capture.events import EventKind
from capture.media import Samples
from capture.sources.protocols import KeepingSource, SampleSource

__all__ = ["ReconnectingSource"]

#: The delay before the first retry, and the cap on doubling it. It starts short because a restarted server is back
#: within a moment; the cap keeps the sound missed after the device is back well below two seconds.
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 0.5

#: A source lost sooner than this after opening was not really back, so the retry delay keeps growing.
STEADY_S: Final = 5.0


class ReconnectingSource:
    """Wraps the source that `make` returns, and replaces it with a new one whenever it is lost.

    `make` receives the function to which the source reports its events. The first call must be quick; later ones may
    take as long as a device does, and may raise. `on_open` is called on the thread that opens and reads, after the
    first `open`. Events are passed on to `report`, and a loss is reported once even if
    both the source and this wrapper notice it.
    """

    def __init__(
        self,
        make: Callable[[Callable[[EventKind, str], None]], SampleSource],
        clock: Clock,
        report: Callable[[EventKind, str], None],
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_open = on_open
        self._make = make
        self._clock = clock
        self._report = report
        self._woken = threading.Event()
        # The source that delivers, or delivered last; and one that is being opened to replace it.
        self._source = make(self._relay)
        self._opening: SampleSource | None = None
        self._is_open = False
        self.name = self._source.name
        self.channels = self._source.channels
        self._epoch_s = self._opened_at_s = self._try_at_s = clock.now_s()
        self._wait_s = FIRST_WAIT_S
        # For each lane that must be broken when the source is lost, when its sound ended; and the breaks to hand on.
        self._lanes: dict[int, float] = {}
        self._breaks: deque[Samples] = deque()
        # Whether a loss was reported without its end, and whether the source itself reported one.
        self._is_lost = self._source_is_lost = False

    @property
    def device(self) -> str:
        return self._source.device

    def open(self) -> None:
        """Open the source for the first time. Turns any failure that is not a `CaptureError` into `NotReadyError`."""
        try:
            self._source.open()
        except CaptureError:
            raise
        except Exception as error:
            raise NotReadyError(
                f"{self.device} cannot be recorded ({in_one_line(error)})", "see capture doctor"
            ) from error
        self._note_opened()
        self._on_open()

    def settle(self) -> bool:
        return isinstance(self._source, KeepingSource) and self._source.settle()

    def begin(self, epoch_s: float) -> None:
        self._epoch_s = epoch_s
        self._source.begin(epoch_s)

    def read(self, until_s: float) -> Samples | None:
        """Return the source's samples; while it is lost return None, and after `wake` an empty block for now."""
        while not self._breaks:
            if self._is_open:
                try:
                    samples = self._source.read(until_s)
                except Exception as error:
                    self._lose(error)
                else:
                    self._note_read(samples)
                    return samples
            elif self._clock.now_s() >= self._try_at_s:
                self._reopen()
            else:
                woken = self._clock.wait_until(min(until_s, self._try_at_s), self._woken)
                self._woken.clear()
                if woken:
                    return self._break_at(self._clock.now_s())
                if self._clock.now_s() >= until_s:
                    return None
        return self._breaks.popleft()

    def wake(self) -> None:
        self._woken.set()
        (self._opening or self._source).wake()

    def close(self) -> None:
        self._is_open = False
        with suppress(Exception):
            self._source.close()

    def _lose(self, error: Exception) -> None:
        self.close()
        why = error.message if isinstance(error, CaptureError) else f"{self.device} is gone ({in_one_line(error)})"
        self._report_lost(f"{self.name}: {why}; recording silence until it is back")
        self._breaks.extend(self._break_at(ended_at_s, lane) for lane, ended_at_s in self._lanes.items())
        self._lanes.clear()
        was_steady = self._clock.now_s() - self._opened_at_s >= STEADY_S
        self._postpone_retry(FIRST_WAIT_S if was_steady else 2 * self._wait_s)

    def _reopen(self) -> None:
        opening: SampleSource | None = None
        self._source_is_lost = False
        try:
            opening = self._opening = self._make(self._relay)
            opening.open()
            opening.begin(self._epoch_s)
        except Exception:
            self._postpone_retry(2 * self._wait_s)
            if opening is not None:
                with suppress(Exception):
                    opening.close()
        else:
            self._source = opening
            self._note_opened()
        finally:
            self._opening = None

    def _postpone_retry(self, wait_s: float) -> None:
        self._wait_s = min(wait_s, LONGEST_WAIT_S)
        self._try_at_s = self._clock.now_s() + self._wait_s

    def _note_opened(self) -> None:
        self._is_open = True
        self._opened_at_s = self._clock.now_s()

    def _note_read(self, samples: Samples | None) -> None:
        self._woken.clear()
        if not self._source_is_lost:
            self._report_back(f"{self.name}: now {self.device}")
        if samples is not None:
            self._lanes.pop(samples.lane, None)
            if len(samples.data):
                self._lanes[samples.lane] = samples.ends_at_s

    def _break_at(self, at_s: float, lane: int = 0) -> Samples:
        import numpy as np

        return Samples(np.zeros((0, self.channels), np.float32), at_s, lane)

    def _relay(self, kind: EventKind, detail: str) -> None:
        """Pass on an event of the source. Called by the thread that opens and reads it."""
        if kind == EventKind.DEVICE_LOST:
            self._source_is_lost = True
            self._report_lost(detail)
        elif kind == EventKind.DEVICE_BACK:
            self._source_is_lost = False
            self._report_back(detail)
        else:
            self._report(kind, detail)

    def _report_lost(self, detail: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._report(EventKind.DEVICE_LOST, detail)

    def _report_back(self, detail: str) -> None:
        if self._is_lost:
            self._is_lost = False
            self._report(EventKind.DEVICE_BACK, detail)
