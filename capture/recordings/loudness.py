"""How loud a recording is, as EBU R 128 counts it, and how it is brought to the loudness that was asked for.

Each audio track is turned up or down as a whole. Where that alone would take its true peak beyond `TRUE_PEAK_DBTP`, a
limiter that looks ahead bends the peaks for a few milliseconds each. The result is measured as it will be decoded, and
made once more where it misses: encoders add to peaks, and limiting takes away loudness. Pictures are copied.

The words of `--loudness` are read here, and importing this loads nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from capture.errors import OutputError, RecordingError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

    from capture.recordings.gain import Change

__all__ = ["TRUE_PEAK_DBTP", "Loudness", "TrackLoudness", "measure", "normalise"]

#: Nothing is quieter: blocks below it are not counted at all (ITU-R BS.1770-4, annex 1, the absolute gate).
_SILENCE_LUFS: Final = -70.0

#: True peaks are looked for between the samples, at four times their rate (BS.1770-4, annex 2).
_PEAK_RATE: Final = 192_000

#: The most that EBU R 128 allows.
TRUE_PEAK_DBTP: Final = -1.0

#: A track that is as close to the target is left as it is, and a result that is stands.
_CLOSE_LU: Final = 0.3

#: Beyond this the target is missed, and it is said.
_MISSED_LU: Final = 0.5

#: How much lower samples are limited at first: between them the sound goes higher, and coding adds to that.
_CEILING_MARGIN_DB: Final = 0.3

#: The lowest that the limiter takes, a sixteenth of full scale.
_LOWEST_CEILING_DB: Final = -24.0

#: A limited track is made louder once more while that makes it louder by this part of it: less only flattens it.
_WORTH_IT: Final = 0.25

#: How often it is made anew at most, and until when it may be made louder again; then only peaks are brought down.
_MOST_PASSES: Final = 8
_RAISING_PASSES: Final = 4


@dataclass(frozen=True, slots=True)
class Loudness:
    """Of one track: its integrated loudness and its true peak; `-inf` where there is nothing to measure."""

    integrated_lufs: float
    true_peak_dbtp: float

    @property
    def is_measurable(self) -> bool:
        """Whether there was anything to hear, for as long as the 0.4 s that the measure needs."""
        return math.isfinite(self.integrated_lufs) and math.isfinite(self.true_peak_dbtp)


@dataclass(frozen=True, slots=True)
class TrackLoudness:
    """What became of one audio track."""

    before: Loudness
    #: The same as before where the track was left as it is.
    after: Loudness
    #: Whether the limiter had work.
    limited: bool
    #: Why it is not at the target, "" where it is.
    note: str = ""

    def __str__(self) -> str:
        """For a person: `-31.2 to -16.0 LUFS, peaks at -1.2 dBTP`."""
        if not self.before.is_measurable:
            return self.note
        told = f"{self.before.integrated_lufs:.1f} to {self.after.integrated_lufs:.1f} LUFS"
        told += f", peaks at {self.after.true_peak_dbtp:.1f} dBTP" + (", limited" if self.limited else "")
        return f"{told} ({self.note})" if self.note else told


@dataclass(slots=True)
class _Plan:
    """What is done to one audio track in the pass that comes next; `ceiling_db` is None without a limiter."""

    before: Loudness
    target_lufs: float
    gain_db: float = 0.0
    ceiling_db: float | None = None
    after: Loudness = field(init=False)
    #: The gain before this one, and what it made of the track; at first none, and the track as it was.
    _last_gain_db: float = 0.0
    _last_lufs: float = field(init=False)

    def __post_init__(self) -> None:
        self.after = self.before
        self._last_lufs = self.before.integrated_lufs
        if self.is_wanted:
            self.gain_db = self.target_lufs - self.before.integrated_lufs
            if self.before.true_peak_dbtp + self.gain_db > TRUE_PEAK_DBTP:
                self.ceiling_db = TRUE_PEAK_DBTP - _CEILING_MARGIN_DB

    @property
    def is_wanted(self) -> bool:
        """Whether the track is to be changed at all."""
        return self.before.is_measurable and not self._is_met(self.before)

    def takes(self, after: Loudness, *, may_raise: bool) -> bool:
        """Whether the pass that gave `after` is good; plans the next one otherwise."""
        self.after = after
        if not self.is_wanted or self._is_met(after):
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
        from capture.recordings.gain import Change

        return Change(self.gain_db, self.ceiling_db) if self.is_wanted else None

    def report(self) -> TrackLoudness:
        note = ""
        if not self.before.is_measurable:
            note = "too quiet or too short to be measured: left as it is"
        elif abs(self.after.integrated_lufs - self.target_lufs) > _MISSED_LU:
            note = f"its peaks allow {self.after.integrated_lufs:.1f} LUFS"
        return TrackLoudness(self.before, self.after, self.is_wanted and self.ceiling_db is not None, note)

    def _is_met(self, found: Loudness) -> bool:
        off_lu = abs(found.integrated_lufs - self.target_lufs)
        return off_lu <= _CLOSE_LU and found.true_peak_dbtp <= TRUE_PEAK_DBTP


def normalise(path: Path, target_lufs: float) -> tuple[TrackLoudness, ...]:
    """Bring each audio track of the recording at `path` to `target_lufs`; return what became of them, in their order.

    Tracks without anything to measure are left as they are, as is the file where no track is to be changed. Raises
    `RecordingError` where the recording is not whole or cannot be read, `OutputError` where the new one cannot be made;
    the recording is what it was then.
    """
    plans = [_Plan(before, target_lufs) for before in measure(path)]
    if not any(plan.is_wanted for plan in plans):
        return tuple(plan.report() for plan in plans)
    from capture.recordings.gain import remake
    from capture.recordings.rewrite import rewrite

    passes = 0

    def is_good(new: Path) -> bool:
        nonlocal passes
        passes += 1
        may_raise = passes < _RAISING_PASSES
        good = [plan.takes(after, may_raise=may_raise) for plan, after in zip(plans, measure(new), strict=True)]
        if passes == _MOST_PASSES and not all(good):
            raise OutputError("its peaks could not be brought down", "ask for less loudness")
        return all(good)

    rewrite(path, lambda muxer: remake(path, muxer, [plan.change() for plan in plans]), is_good=is_good)
    return tuple(plan.report() for plan in plans)


def measure(path: Path) -> tuple[Loudness, ...]:
    """Decode the recording at `path` and measure each of its audio tracks, in their order.

    Raises `RecordingError` where it cannot be opened or decoded.
    """
    import av

    from capture.recordings.contents import READ_OPTIONS

    try:
        with av.open(str(path.absolute()), metadata_errors="replace", options=READ_OPTIONS) as container:
            return _measured(container)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        raise RecordingError(f"the loudness of {path} cannot be measured", reason) from error


def _measured(container: InputContainer) -> tuple[Loudness, ...]:
    meters = {stream.index: _Meter() for stream in container.streams.audio}
    for packet in container.demux(list(container.streams.audio)):
        for frame in packet.decode():
            meters[packet.stream_index].hear(cast("av.AudioFrame", frame))
    return tuple(meter.finish() for meter in meters.values())


class _Meter:
    """FFmpeg's `ebur128` for the loudness; the peak is found here, as the filter gives it three digits."""

    def __init__(self) -> None:
        import av

        self._resampler = av.AudioResampler(format="flt", rate=_PEAK_RATE)
        self._graph: Any = None
        self._count = 0
        self._integrated_lufs = -math.inf
        self._peak = 0.0

    def hear(self, frame: av.AudioFrame) -> None:
        self._find_peak(self._resampler.resample(frame))
        if self._graph is None:
            self._graph = _meter_graph(frame)
        # The meter counts samples; a file's own stamps may be rounded.
        frame.pts, frame.time_base = self._count, Fraction(1, frame.sample_rate)
        self._count += frame.samples
        self._graph.push(frame)
        self._pull()

    def finish(self) -> Loudness:
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
