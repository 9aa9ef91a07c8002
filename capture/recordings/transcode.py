"""A finished recording made smaller, or made into another kind of file: what chats and mail take.

The new file grows under a hidden name, is checked, and only then gets its own. Where it replaces the recording, that is
what it was until then.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast

import av
import av.filter
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from capture.errors import OutputError, RecordingError, UsageError
from capture.formats import CLIP_FORMATS, CONTAINERS, Container
from capture.media import SAMPLE_RATE
from capture.output.muxer import WITH_CHAPTERS
from capture.recordings.animation import stamped, write_gif, write_webp
from capture.recordings.check import CheckReport, check
from capture.recordings.rewrite import opened, tracks_of, zero_s
from capture.recordings.size_limit import AIM, ENOUGH, TRIES, even, too_small

__all__ = ["convert", "fit"]

#: Pictures without sound, which play by themselves in chats and on pages.
_ANIMATIONS: Final = frozenset({"gif", "webp"})

#: An animation is at most so wide and shows at most so many pictures a second: more costs megabytes a second.
_ANIMATION_WIDTH: Final = 800
_ANIMATION_FPS: Final = 15.0
_LEAST_ANIMATION_WIDTH: Final = 64
_LEAST_ANIMATION_FPS: Final = 3.0


#: Bits a second that sound gets, for one channel and two: no less and no more, and this share of all in between.
_LEAST_SOUND: Final = 16_000
_MOST_SOUND: Final = 128_000
_SOUND_SHARE: Final = 0.2
#: Below this two channels are heard to suffer.
_STEREO_FROM: Final = 48_000

#: Fewer bits for each pixel than this and text is mush: a smaller picture says more.
_LEAST_BITS_PER_PIXEL: Final = 0.012
_SCALES: Final = (1.0, 0.75, 0.5, 0.375, 0.25)
_LEAST_PICTURE: Final = 8_000

_VIDEO_ENCODERS: Final = {
    "h264": ("libx264", {"preset": "veryfast"}),
    "vp8": ("libvpx", {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "0"}),
}
_AUDIO_ENCODERS: Final = {
    "aac": ("aac", "fltp"),
    "opus": ("libopus", "flt"),
    "mp3": ("libmp3lame", "fltp"),
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the next try is encoded. Bits a second; no picture or no sound where it is 0."""

    picture_rate: float
    sound_rate: float
    size: tuple[int, int] = (0, 0)
    fps: float = 0.0


def convert(path: Path, form: str) -> Path:
    """Make the recording at `path` into a file of the kind `form`, one of `CLIP_FORMATS`; return where it is.

    It stands beside the recording under the same name with another end; one of the same kind stays as it is. Raises
    `UsageError` where that cannot be, also where the name is taken; `RecordingError` and `OutputError` as writing does.
    The recording is never changed.
    """
    if form not in CLIP_FORMATS:
        raise UsageError(f"{form!r} is no format to convert to", f"use one of {', '.join(CLIP_FORMATS)}")
    return path if path.suffix[1:].lower() == form else _made(path, form, None)


def fit(path: Path, limit_bytes: int, form: str | None = None) -> Path:
    """Make the recording at `path`, as `form` if given, so small that it takes at most `limit_bytes`; return where.

    Of the same kind it takes the recording's place, and one that fits already stays as it is; of another it stands
    beside it. As much of the limit is used as the content can: sound is encoded anew, the picture with fewer bits, and
    smaller where they would be too few. Raises as `convert` does, and `UsageError` with the smallest size that works.
    """
    if form is not None and form not in CLIP_FORMATS:
        raise UsageError(f"{form!r} is no format to convert to", f"use one of {', '.join(CLIP_FORMATS)}")
    form = form or path.suffix[1:].lower()
    if form not in _ANIMATIONS:
        kind = CONTAINERS.get(form)
        if kind is None or kind.audio_codec not in _AUDIO_ENCODERS:
            raise UsageError(f"a .{form} file cannot be made smaller", "add --format mp4 or --format ogg")
    same = path.suffix[1:].lower() == form
    if same and path.is_file() and path.stat().st_size <= limit_bytes:
        return path
    return _made(path, form, limit_bytes)


def _made(path: Path, form: str, limit_bytes: int | None) -> Path:
    old = path.resolve()
    report = check(old, listen=False)
    if not report.plays:
        raise RecordingError(f"{path} is left as it is: {report.problems[0]}", "see capture check")
    same = path.suffix[1:].lower() == form
    target = old if same else path.absolute().with_suffix(f".{form}")
    if not same and os.path.lexists(target):
        raise UsageError(f"{target} exists already", "choose another name")
    work = _Work(old, form, report, target)
    try:
        best = work.run(limit_bytes)
        shutil.copymode(old, best)
        with best.open("rb+") as file:
            os.fsync(file.fileno())
        best.replace(target)
    except (OSError, av.FFmpegError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        remedy = "see that there is room and a right to write"
        raise OutputError(f"{target} cannot be made ({reason})", remedy) from error
    finally:
        work.clean()
    return path if same else target


class _Work:
    """The tries to make one file, each under a hidden name of its own."""

    def __init__(self, source: Path, form: str, report: CheckReport, target: Path) -> None:
        self._source = source
        self._form = form
        self._report = report
        self._target = target
        self._made: list[Path] = []
        self._pictures = next((track for track in report.streams if track.kind == "video" and track.frames), None)
        self._sounds = [track for track in report.streams if track.kind == "audio"]
        self._length_s = max(0.1, report.duration_s)

    def clean(self) -> None:
        for path in self._made:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def run(self, limit_bytes: int | None) -> Path:
        """The best file that fits."""
        if self._form in _ANIMATIONS:
            return self._animation(limit_bytes)
        kind = CONTAINERS[self._form]
        if not kind.holds_video and not self._sounds:
            raise UsageError(f"there is no sound in {self._source} for a .{self._form} file", "record some")
        has_picture = kind.holds_video and self._pictures is not None
        if limit_bytes is None:
            return self._checked(self._encode(kind, self._free_plan(has_picture)))
        return self._fitted(kind, limit_bytes, has_picture=has_picture)

    def _free_plan(self, has_picture: bool) -> _Plan:
        return _Plan(math.inf if has_picture else 0.0, _MOST_SOUND if self._sounds else 0.0, self._size(1.0))

    def _size(self, scale: float) -> tuple[int, int]:
        if self._pictures is None:
            return 0, 0
        return even(self._pictures.width * scale), even(self._pictures.height * scale)

    def _fitted(self, kind: Container, limit_bytes: int, *, has_picture: bool) -> Path:
        tracks = min(len(self._sounds), kind.max_audio_tracks)
        total = limit_bytes * 8 * AIM / self._length_s
        smallest = math.inf
        for scale in _SCALES if has_picture else (1.0,):
            sound = 0.0
            if tracks:
                share = _SOUND_SHARE if has_picture else 1.0
                sound = min(_MOST_SOUND, max(_LEAST_SOUND, total * share / tracks))
            picture = max(_LEAST_PICTURE, total - sound * tracks) if has_picture else 0.0
            size = self._size(scale)
            if has_picture and scale > _SCALES[-1] and picture < self._needed(size):
                continue
            found, smallest_here = self._search(kind, _Plan(picture, sound, size), limit_bytes)
            smallest = min(smallest, smallest_here)
            if found is not None:
                return self._checked(found)
        raise too_small(self._source, limit_bytes, smallest)

    def _needed(self, size: tuple[int, int]) -> float:
        assert self._pictures is not None  # noqa: S101 - asked with a picture only
        # A still screen has few pictures, and most of them cost nothing.
        fps = min(30.0, self._pictures.frames / self._length_s)
        return size[0] * size[1] * fps * _LEAST_BITS_PER_PIXEL

    def _search(self, kind: Container, plan: _Plan, limit_bytes: int) -> tuple[Path | None, float]:
        """The largest try that fits, and the size of the smallest of all."""
        best: Path | None = None
        best_bytes, smallest = 0, math.inf
        low, high = 0.0, math.inf
        rate = plan.picture_rate or plan.sound_rate
        least = _LEAST_PICTURE if plan.picture_rate else _LEAST_SOUND / 2
        before = 0
        for _ in range(TRIES):
            current = _Plan(rate, plan.sound_rate, plan.size) if plan.picture_rate else _Plan(0.0, rate)
            made = self._encode(kind, current)
            size = made.stat().st_size
            smallest = min(smallest, size)
            if best_bytes < size <= limit_bytes:
                best, best_bytes = made, size
            if limit_bytes * ENOUGH <= size <= limit_bytes or (size < limit_bytes and 0 < size <= before * 1.003):
                break
            low, high = (max(low, rate), high) if size < limit_bytes else (low, min(high, rate))
            fixed = plan.sound_rate * len(self._sounds) * self._length_s / 8 if plan.picture_rate else 0.0
            part = max(1.0, size - fixed)
            wanted = rate * max(0.1, (limit_bytes * AIM - fixed) / part)
            if not low < wanted < high:
                wanted = (low + high) / 2 if high < math.inf else rate * 2
            wanted = max(least, wanted)
            if not plan.picture_rate:
                wanted = min(wanted, 2.0 * _MOST_SOUND)
            if abs(wanted / rate - 1.0) < 0.001:
                break
            before, rate = size if size < limit_bytes and wanted > rate else 0, wanted
        return best, smallest

    def _fresh(self) -> Path:
        path = self._target.with_name(f".capture-{os.urandom(8).hex()}.{self._form}")
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        self._made.append(path)
        return path

    def _encode(self, kind: Container, plan: _Plan) -> Path:
        path = self._fresh()
        options = {"movflags": "+faststart"} if kind.format in ("mp4", "mov", "ipod") else {}
        with (
            opened(self._source) as source,
            av.open(str(path), "w", format=kind.format, container_options=options) as made,
        ):
            lanes: dict[int, _PictureLane | _SoundLane] = {}
            sounds = 0
            for stream in tracks_of(source):
                if isinstance(stream, VideoStream) and plan.picture_rate:
                    end_s = self._report.duration_s
                    lanes[stream.index] = _PictureLane(stream, made, str(kind.video_codec), plan, end_s)
                elif isinstance(stream, AudioStream) and plan.sound_rate and sounds < kind.max_audio_tracks:
                    lanes[stream.index] = _SoundLane(stream, made, kind.audio_codec, plan.sound_rate, zero_s(source))
                    sounds += 1
            made.start_encoding()
            for packet in source.demux([source.streams[index] for index in lanes]):
                for frame in packet.decode():
                    made.mux(lanes[packet.stream_index].take(cast(Any, frame)))
            for lane in lanes.values():
                made.mux(lane.finish())
            if kind.format in WITH_CHAPTERS:
                made.set_chapters(source.chapters())
        return path

    def _checked(self, path: Path) -> Path:
        report = check(path)
        if not report.ok:
            raise OutputError(f"the new file is not whole: {report.problems[0]}")
        return path

    # Animations

    def _animation(self, limit_bytes: int | None) -> Path:
        if self._pictures is None:
            raise UsageError(f"there is no picture in {self._source} for a .{self._form} file", "record the screen")
        width = float(min(_ANIMATION_WIDTH, self._pictures.width))
        fps = _ANIMATION_FPS
        least = min(width, _LEAST_ANIMATION_WIDTH)
        best: Path | None = None
        best_bytes, smallest = 0, math.inf
        # Widths that fit and that do not, at the present rate.
        low, high = least, width
        for _ in range(2 * TRIES):
            made = self._animate(even(width), fps)
            size = made.stat().st_size
            smallest = min(smallest, size)
            if limit_bytes is None:
                return made
            if best_bytes < size <= limit_bytes:
                best, best_bytes = made, size
            if size <= limit_bytes and (size >= limit_bytes * ENOUGH or width >= high - 2):
                break
            if size > limit_bytes:
                if width <= least:
                    if fps <= _LEAST_ANIMATION_FPS:
                        break
                    # The picture is as small as it may be: fewer of them.
                    fps = max(_LEAST_ANIMATION_FPS, fps * 0.7)
                    continue
                high = width
                if width < 2 * _LEAST_ANIMATION_WIDTH + 200 and fps > 10 and best is None:
                    fps = 10.0
            else:
                low = width
            guess = width * math.sqrt(limit_bytes * AIM / size)
            width = guess if low < guess < high else (low + high) / 2
            if high - low < 4 and best is not None:
                break
            width = max(least, float(even(width)))
        if best is None:
            raise too_small(self._source, cast(int, limit_bytes), smallest)
        return best

    def _animate(self, width: int, fps: float) -> Path:
        assert self._pictures is not None  # noqa: S101 - checked by the caller
        height = even(self._pictures.height * width / self._pictures.width)
        path = self._fresh()
        draw = write_gif if self._form == "gif" else write_webp
        with av.open(str(path), "w", format=self._form, container_options={"loop": "0"}) as made:
            draw(made, lambda: self._thinned(fps), (width, height), fps)
        if not _is_whole(path):
            raise OutputError("the new file is not whole")
        return path

    def _thinned(self, fps: float) -> Iterator[av.VideoFrame]:
        """A picture for each moment of a grid of `fps`."""
        last: av.VideoFrame | None = None
        slot = 0
        with opened(self._source) as source:
            for frame in source.decode(video=0):
                until = math.ceil((frame.time or 0.0) * fps - 1e-6)
                while last is not None and slot < until:
                    yield stamped(last, slot, fps)
                    slot += 1
                last = frame
        end = max(slot + 1, math.floor(self._report.duration_s * fps + 1e-6))
        while last is not None and slot < end:
            yield stamped(last, slot, fps)
            slot += 1


def _is_whole(path: Path) -> bool:
    """Whether an animation ends as it must. FFmpeg reads no animated WebP: its header states the length."""
    data = path.read_bytes()
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 == len(data) and b"ANMF" in data
    return data.startswith(b"GIF89a") and data.endswith(b"\x3b")


class _PictureLane:
    """One picture on its way, encoded at another size and rate; each at its moment."""

    def __init__(self, source: VideoStream, made: OutputContainer, codec: str, plan: _Plan, end_s: float) -> None:
        name, options = _VIDEO_ENCODERS[codec]
        rate = source.average_rate or Fraction(30)
        if math.isinf(plan.picture_rate):
            options = {**options, "crf": "20"}
        stream = made.add_stream(cast(Any, name), rate=rate, options=options)
        assert isinstance(stream, VideoStream)  # noqa: S101
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = *plan.size, "yuv420p"
        stream.time_base = context.time_base = Fraction(1, 90_000)
        if not math.isinf(plan.picture_rate):
            stream.bit_rate = round(plan.picture_rate)
        elif codec == "vp8":
            stream.bit_rate = 12 * plan.size[0] * plan.size[1]
        given = source.codec_context
        context.colorspace, context.color_range = given.colorspace, given.color_range
        context.color_primaries, context.color_trc = given.color_primaries, given.color_trc
        self._stream = stream
        self._size = plan.size
        self._slot = round(90_000 / max(1.0, float(rate)))
        self._end = round(end_s * 90_000)
        self._reformatter = VideoReformatter()
        self._last: av.VideoFrame | None = None
        self._last_pts = -1

    def take(self, frame: av.VideoFrame) -> list[av.Packet[Any]]:
        pts = max(round((frame.time or 0.0) * 90_000), self._last_pts + 90)
        self._last = self._reformatter.reformat(frame, *self._size, "yuv420p")
        return self._encode(pts)

    def _encode(self, pts: int) -> list[av.Packet[Any]]:
        assert self._last is not None  # noqa: S101 - both callers made sure
        self._last.pts, self._last.time_base, self._last_pts = pts, Fraction(1, 90_000), pts
        self._last.pict_type = av.video.frame.PictureType.NONE
        return self._stream.encode(self._last)

    def finish(self) -> list[av.Packet[Any]]:
        """The last picture once more where it stands for long: its length is that of a single one."""
        packets: list[av.Packet[Any]] = []
        last = self._end - self._slot
        if self._last is not None and last > self._last_pts + self._slot:
            packets += self._encode(last)
        return packets + self._stream.encode(None)


class _SoundLane:
    """One track of sound on its way to another rate."""

    def __init__(self, source: AudioStream, made: OutputContainer, codec: str, rate: float, zero: float) -> None:
        name, form = _AUDIO_ENCODERS[codec]
        mono = source.codec_context.channels == 1 or rate < _STEREO_FROM
        layout = "mono" if mono else "stereo"
        stream = made.add_stream(cast(Any, name), rate=SAMPLE_RATE)
        assert isinstance(stream, AudioStream)  # noqa: S101
        stream.codec_context.layout, stream.codec_context.format = layout, form
        stream.bit_rate = round(rate)
        self._stream = stream
        self._resampler = av.AudioResampler(form, layout, SAMPLE_RATE)
        self._zero_s = zero
        self._next: int | None = None

    def take(self, frame: av.AudioFrame) -> list[av.Packet[Any]]:
        if self._next is None:
            self._next = max(0, round(((frame.time or 0.0) - self._zero_s) * SAMPLE_RATE))
        return self._encode(frame)

    def finish(self) -> list[av.Packet[Any]]:
        return [*self._encode(None), *self._stream.encode(None)]

    def _encode(self, frame: av.AudioFrame | None) -> list[av.Packet[Any]]:
        packets: list[av.Packet[Any]] = []
        if self._next is None:
            return packets
        for part in self._resampler.resample(frame):
            part.pts, part.time_base = self._next, Fraction(1, SAMPLE_RATE)
            self._next += part.samples
            packets += self._stream.encode(part)
        return packets
