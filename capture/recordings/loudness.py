"""Measures how loud a recording is (EBU R 128) and brings it to a requested loudness.

Each audio track gets one gain. If that would push its true peak above `TRUE_PEAK_DBTP`, a look-ahead limiter lowers
each peak for a few milliseconds. The result is measured as players will decode it, and the pass is repeated if it
misses: encoding raises peaks, and limiting costs loudness. Pictures are copied.

`--loudness` is parsed here, so importing this module loads nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from capture.errors import OutputError, RecordingError
from capture.recordings.progress import OnProgress, attempt_of, part_of, unwatched

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

    from capture.output.chapters import Chapter
    from capture.output.muxer import Muxer
    from capture.recordings.gain import Change

__all__ = ["TRUE_PEAK_DBTP", "Loudness", "Normalising", "TrackLoudness", "measure", "normalise"]

#: The lowest loudness there is: quieter blocks do not count at all (ITU-R BS.1770-4, annex 1, the absolute gate).
_SILENCE_LUFS: Final = -70.0

#: True peaks lie between the samples: they are searched at four times the sample rate (BS.1770-4, annex 2).
_PEAK_RATE: Final = 192_000

#: The highest true peak that EBU R 128 allows.
TRUE_PEAK_DBTP: Final = -1.0

#: A track this close to the target is not changed, and a result this close is accepted.
_CLOSE_LU: Final = 0.3

#: A result further from the target than this gets a note.
_MISSED_LU: Final = 0.5

#: How far below the true peak samples are limited at first: the signal rises between samples, and encoding adds to it.
_CEILING_MARGIN_DB: Final = 0.3

#: The lowest ceiling that the limiter accepts, a sixteenth of full scale.
_LOWEST_CEILING_DB: Final = -24.0

#: Raise a limited track again only if the last raise yielded at least this share in loudness: less only flattens it.
_WORTH_IT: Final = 0.25

#: The most passes, and how many of them may raise the gain; the later ones only bring peaks down.
_MOST_PASSES: Final = 8
_RAISING_PASSES: Final = 4


@dataclass(frozen=True, slots=True)
class Loudness:
    """The integrated loudness and the true peak of one track; `-inf` when there is nothing to measure."""

    integrated_lufs: float
    true_peak_dbtp: float

    @property
    def is_measurable(self) -> bool:
        """Whether the track was audible for the 0.4 s that the measurement needs."""
        return math.isfinite(self.integrated_lufs) and math.isfinite(self.true_peak_dbtp)


@dataclass(frozen=True, slots=True)
class TrackLoudness:
    """The result for one audio track."""

    before: Loudness
    #: Equals `before` when the track was not changed.
    after: Loudness
    #: Whether the limiter was used.
    limited: bool
    #: Why the track missed the target, or "".
    note: str = ""

    def __str__(self) -> str:
        """Return a text for the user: `-31.2 to -16.0 LUFS, peaks at -1.2 dBTP`."""
        if not self.before.is_measurable:
            return self.note
        text = f"{self.before.integrated_lufs:.1f} to {self.after.integrated_lufs:.1f} LUFS"
        text += f", peaks at {self.after.true_peak_dbtp:.1f} dBTP" + (", limited" if self.limited else "")
        return f"{text} ({self.note})" if self.note else text


@dataclass(slots=True)
class _Plan:
    """The settings for one audio track in the next pass; `ceiling_db` is None without a limiter."""

    before: Loudness
    target_lufs: float
    gain_db: float = 0.0
    ceiling_db: float | None = None
    after: Loudness = field(init=False)
    #: The previous gain and the loudness that it gave; at first 0 and the original loudness.
    _last_gain_db: float = 0.0
    _last_lufs: float = field(init=False)

    def __post_init__(self) -> None:
        self.after = self.before
        self._last_lufs = self.before.integrated_lufs
        if self.needs_change:
            self.gain_db = self.target_lufs - self.before.integrated_lufs
            if self.before.true_peak_dbtp + self.gain_db > TRUE_PEAK_DBTP:
                self.ceiling_db = TRUE_PEAK_DBTP - _CEILING_MARGIN_DB

    @property
    def needs_change(self) -> bool:
        """Whether the track needs a change."""
        return self.before.is_measurable and not self._is_met(self.before)

    def accepts(self, after: Loudness, *, may_raise: bool) -> bool:
        """Whether to accept the pass that gave `after`; if not, plan the next one."""
        self.after = after
        if not self.needs_change or self._is_met(after):
            return True
        excess_db = after.true_peak_dbtp - TRUE_PEAK_DBTP
        if excess_db > 0:
            ceiling_db = TRUE_PEAK_DBTP if self.ceiling_db is None else self.ceiling_db
            self.ceiling_db = max(_LOWEST_CEILING_DB, ceiling_db - excess_db - 0.1)
        missing_lu = self.target_lufs - after.integrated_lufs
        raised_db, gained_lu = self.gain_db - self._last_gain_db, after.integrated_lufs - self._last_lufs
        worth_it = missing_lu <= 0 or gained_lu >= _WORTH_IT * raised_db
        if may_raise and worth_it and math.isfinite(missing_lu):
            self._last_gain_db, self._last_lufs = self.gain_db, after.integrated_lufs
            self.gain_db += missing_lu
            if self.ceiling_db is None and after.true_peak_dbtp + missing_lu > TRUE_PEAK_DBTP:
                self.ceiling_db = TRUE_PEAK_DBTP - _CEILING_MARGIN_DB
            return False
        return excess_db <= 0

    def change(self) -> Change | None:
        """Return what to do in the next pass, or None to copy the track."""
        from capture.recordings.gain import Change

        return Change(self.gain_db, self.ceiling_db) if self.needs_change else None

    def report(self) -> TrackLoudness:
        """Return the result after the last pass."""
        note = ""
        if not self.before.is_measurable:
            note = "too quiet or too short to measure: not changed"
        elif abs(self.after.integrated_lufs - self.target_lufs) > _MISSED_LU:
            note = f"its peaks allow only {self.after.integrated_lufs:.1f} LUFS"
        return TrackLoudness(self.before, self.after, self.needs_change and self.ceiling_db is not None, note)

    def _is_met(self, found: Loudness) -> bool:
        off_lu = abs(found.integrated_lufs - self.target_lufs)
        return off_lu <= _CLOSE_LU and found.true_peak_dbtp <= TRUE_PEAK_DBTP


class Normalising:
    """Finds from pass to pass how to change the tracks of a recording so that they get a loudness.

    Each pass applies `changes`, and `accepts` gets what it measured.
    """

    def __init__(self, before: Sequence[Loudness], target_lufs: float) -> None:
        self._plans = [_Plan(each, target_lufs) for each in before]
        #: How many passes were measured.
        self.passes = 0

    @property
    def needs_change(self) -> bool:
        return any(plan.needs_change for plan in self._plans)

    def changes(self) -> tuple[Change | None, ...]:
        """Return what to do to each track in the next pass; None keeps one as it is."""
        return tuple(plan.change() for plan in self._plans)

    def accepts(self, found: Sequence[Loudness]) -> bool:
        """Whether to accept the pass that gave `found`; if not, plan the next one.

        Raises `OutputError` if so many passes were not enough.
        """
        self.passes += 1
        may_raise = self.passes < _RAISING_PASSES
        good = [plan.accepts(after, may_raise=may_raise) for plan, after in zip(self._plans, found, strict=True)]
        if self.passes == _MOST_PASSES and not all(good):
            raise OutputError("its peaks stay too high at that loudness", "ask for a lower loudness")
        return all(good)

    def reports(self) -> tuple[TrackLoudness, ...]:
        """Return the results, in the order of the tracks."""
        return tuple(plan.report() for plan in self._plans)


def normalise(path: Path, target_lufs: float, on_progress: OnProgress = unwatched) -> tuple[TrackLoudness, ...]:
    """Bring each audio track of the recording at `path` to `target_lufs`; return the results in track order.

    Tracks that cannot be measured stay as they are, and so does the file when no track needs a change. Raises
    `RecordingError` when the recording is damaged or unreadable, `OutputError` when the new one cannot be written; the
    recording is then unchanged.
    """
    normalising = Normalising(measure(path, part_of(on_progress, 0.0, 0.3)), target_lufs)
    rest = part_of(on_progress, 0.3, 1.0)
    if not normalising.needs_change:
        return normalising.reports()
    from capture.recordings.gain import apply_gain
    from capture.recordings.rewrite import rewrite

    def is_good(new: Path) -> bool:
        return normalising.accepts(measure(new, part_of(attempt_of(rest, normalising.passes + 1), 0.6, 1.0)))

    def fill(muxer: Muxer) -> list[Chapter]:
        on_pass = part_of(attempt_of(rest, normalising.passes + 1), 0.0, 0.6)
        return apply_gain(path, muxer, normalising.changes(), on_pass)

    rewrite(path, fill, is_good=is_good)
    return normalising.reports()


def measure(path: Path, on_progress: OnProgress = unwatched) -> tuple[Loudness, ...]:
    """Decode the recording at `path` and measure its audio tracks, in their order.

    Raises `RecordingError` when it cannot be opened or decoded.
    """
    import av

    from capture.recordings.opening import open_recording

    try:
        with open_recording(path) as container:
            return _measured(container, on_progress)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        raise RecordingError(f"cannot measure the loudness of {path}", reason) from error


def _measured(container: InputContainer, on_progress: OnProgress) -> tuple[Loudness, ...]:
    meters = {stream.index: _Meter() for stream in container.streams.audio}
    for packet in container.demux(list(container.streams.audio)):
        if packet.pos is not None and container.size:
            on_progress(packet.pos / container.size)
        for frame in packet.decode():
            meters[packet.stream_index].hear(cast("av.AudioFrame", frame))
    return tuple(meter.finish() for meter in meters.values())


class _Meter:
    """Measures one track: loudness by FFmpeg's `ebur128`, whose true peak has only three digits and is found here."""

    def __init__(self) -> None:
        import av

        self._resampler = av.AudioResampler(format="flt", rate=_PEAK_RATE)
        self._graph: Any = None
        self._count = 0
        self._integrated_lufs = -math.inf
        self._peak = 0.0

    def hear(self, frame: av.AudioFrame) -> None:
        """Take in the next decoded samples."""
        self._find_peak(self._resampler.resample(frame))
        if self._graph is None:
            self._graph = _meter_graph(frame)
        # The filter gets a running sample count as pts: the file's own pts may be rounded.
        frame.pts, frame.time_base = self._count, Fraction(1, frame.sample_rate)
        self._count += frame.samples
        self._graph.push(frame)
        self._pull()

    def finish(self) -> Loudness:
        """Return the measurement of everything heard."""
        if self._graph is None:
            return Loudness(-math.inf, -math.inf)
        self._find_peak(self._resampler.resample(None))
        self._graph.push(None)
        self._pull()
        heard = self._integrated_lufs > _SILENCE_LUFS and self._peak > 0.0
        return Loudness(
            self._integrated_lufs if heard else -math.inf,
            20.0 * math.log10(self._peak) if self._peak > 0.0 else -math.inf,
        )

    def _find_peak(self, frames: Sequence[av.AudioFrame]) -> None:
        for frame in frames:
            samples = frame.to_ndarray()
            self._peak = max(self._peak, float(samples.max()), -float(samples.min()))

    def _pull(self) -> None:
        import av

        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            self._integrated_lufs = float(frame.metadata.get("lavfi.r128.I", self._integrated_lufs))


def _meter_graph(frame: av.AudioFrame) -> Any:
    import av.filter

    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=Fraction(1, frame.sample_rate),
    )
    graph.link_nodes(source, graph.add("ebur128", "metadata=1"), graph.add("abuffersink"))
    graph.configure()
    return graph
