"""What to record, said once and checked before anything is touched.

The parsers turn what a person typed into values; each raises `UsageError` with the text and the remedy, and nothing
else, whatever it is given. `RecordSettings.check` holds the rules that concern several values at once.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from capture.errors import OutputError, UsageError
from capture.media import Rectangle

__all__ = [
    "APPLICATION",
    "CLIP_FORMATS",
    "CONTAINERS",
    "ENCODERS",
    "MAX_FPS",
    "QUALITIES",
    "AudioTrack",
    "ClipOrder",
    "Container",
    "RecordSettings",
    "check_output",
    "check_writable",
    "container_of",
    "ledger_of",
    "parse_audio",
    "parse_fps",
    "parse_geometry",
    "parse_level",
    "parse_region",
    "parse_size",
    "parse_time",
]

#: Beyond this the slot is shorter than a grab of a small screen takes.
MAX_FPS: Final = 240

#: The longest time that is taken at its word, a thousand hours; longer ones are slips of the keyboard.
MAX_TIME_S: Final = 3_600_000.0

#: More than any file system holds in a file, and few enough to be counted with.
MAX_CLIP_BYTES: Final = 1 << 60

#: How many characters of what cannot be meant are repeated.
_EXCERPT: Final = 60

#: The widest picture that H.264 level 6.2 codes.
MAX_PICTURE_SIDE: Final = 16_384

#: How a source that is one application's sound is written: this and the application's name.
APPLICATION: Final = "app:"

#: What a clip can be turned into.
CLIP_FORMATS: Final = ("gif", "webp", "mp4", "ogg", "m4a")

QUALITIES: Final = ("low", "medium", "high")

#: Which of FFmpeg's encoders make a video codec: the first works everywhere, the others need a device of theirs.
ENCODERS: Final[dict[str, tuple[str, ...]]] = {
    "h264": ("libx264", "h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox"),
    "vp8": ("libvpx",),
}


class Container(NamedTuple):
    """A file format: the name FFmpeg knows it by and what is put inside."""

    format: str
    video_codec: str | None
    audio_codec: str
    max_audio_tracks: int

    @property
    def holds_video(self) -> bool:
        return self.video_codec is not None


#: By extension. Sound-only formats are what players show as one song: one track each.
CONTAINERS: Final[dict[str, Container]] = {
    "mp4": Container("mp4", "h264", "aac", 16),
    "mov": Container("mov", "h264", "aac", 16),
    "mkv": Container("matroska", "h264", "opus", 16),
    "webm": Container("webm", "vp8", "opus", 16),
    "ogg": Container("ogg", None, "opus", 1),
    "opus": Container("ogg", None, "opus", 1),
    "m4a": Container("ipod", None, "aac", 1),
    "mp3": Container("mp3", None, "mp3", 1),
    "flac": Container("flac", None, "flac", 1),
    "wav": Container("wav", None, "pcm_s16le", 1),
}


class AudioTrack(NamedTuple):
    """One track of the file and the sources mixed into it: `internal`, `mic`, `app:NAME`, or a device's id."""

    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        return "+".join(self.sources)


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """Everything that decides a recording. `check` before use."""

    output: Path
    audio: tuple[AudioTrack, ...] = (AudioTrack(("internal",)),)
    #: `primary`, `all`, a number from 1 or a name from `devices`; None records no picture.
    screen: str | None = "primary"
    region: Rectangle | None = None
    #: One window instead of a screen: its title, a part of that, its id, or `active`.
    window: str | None = None
    #: Width and height of the recorded picture; None keeps that of the screen.
    scale: tuple[int, int] | None = None
    fps: float = 30.0
    constant_fps: bool = False
    cursor: bool = True
    #: A ring around the mouse when it is clicked, and the keys that are pressed, drawn into the picture.
    show_clicks: bool = False
    show_keys: bool = False
    quality: str = "medium"
    encoder: str = "auto"
    duration_s: float | None = None
    delay_s: float = 0.0
    #: The built-in picture and tone in place of the devices.
    pattern: bool = False
    overwrite: bool = False
    #: Nobody chose the name: where it is taken the next free one is used, with ` (2)` and so on.
    numbered: bool = False
    #: Begin when sound begins, with a moment before it.
    wait_for_sound: bool = False
    #: Stop when nothing was heard for this long; None goes on.
    stop_after_silence_s: float | None = None
    #: What is louder than this, and than the noise of the source, is sound.
    sound_threshold_dbfs: float = -50.0
    #: The name tells when a recording began, and is made anew for each.
    dated: bool = False
    #: Record again and again, each time into a file of its own.
    each: bool = False
    #: Wait for as many recordings as are wanted, begun by a key or an order.
    standby: bool = False
    #: Keep this much in memory, for clips; None keeps nothing.
    replay_s: float | None = None
    #: The most bytes that takes.
    buffer_bytes: int = 500_000_000
    #: A recording begun in standby starts this long before, out of what is kept.
    since_s: float = 0.0
    #: Where a clip goes that cannot be saved where it should.
    fallback_folder: Path | None = None
    #: The key that records for as long as it is held, as in `<ctrl>+<alt>+space`.
    hold: str | None = None
    #: Encode as messengers do their voice notes.
    voice: bool = False
    #: Bring the finished recording to this loudness, in LUFS.
    loudness_lufs: float | None = None
    #: Write down what happens to the recording, into a file beside it.
    ledger: bool = False
    #: What the remote control knows this recorder by; None takes a name that is free.
    name: str | None = None
    container: Container = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "container", container_of(self.output))

    @property
    def wants_video(self) -> bool:
        return self.screen is not None

    @property
    def waits(self) -> bool:
        """Whether a recording begins only when something makes it."""
        return self.wait_for_sound or self.hold is not None or self.standby

    @property
    def is_numbered(self) -> bool:
        """Whether a name that is taken gives way to the next one."""
        return self.numbered or self.each or self.standby

    def check(self) -> None:
        """Raise `UsageError` where values contradict each other or the file system. Touches nothing."""
        if self.wants_video and not self.container.holds_video:
            raise UsageError(
                f"{self.output.suffix} holds sound alone, and a picture was asked for",
                "use --screen none, or end the name in .mp4, .mov, .mkv or .webm",
            )
        if not self.wants_video and not self.audio:
            raise UsageError("neither picture nor sound is to be recorded", "drop --screen none or --audio none")
        if len(self.audio) > self.container.max_audio_tracks:
            raise UsageError(
                f"{self.output.suffix} cannot hold {len(self.audio)} audio tracks",
                "mix them with +, as in --audio internal+mic, or end the name in .mkv or .mp4",
            )
        for option, given in {"--show-clicks": self.show_clicks, "--show-keys": self.show_keys}.items():
            if given and not self.wants_video:
                raise UsageError(f"{option} needs a picture", "drop it, or record a screen")
        if self.region is not None and not self.wants_video:
            raise UsageError(f"--region {self.region} needs a picture", "drop it, or record a screen")
        if self.window is not None:
            self._check_window(self.window)
        known = ENCODERS.get(self.container.video_codec or "", ())
        if self.wants_video and self.encoder != "auto" and self.encoder not in known:
            raise UsageError(
                f"the encoder {self.encoder!r} cannot make {self.output.suffix}", f"use {', '.join(known)}"
            )
        if self.quality not in QUALITIES:
            raise UsageError(f"the quality {self.quality!r} is not known", f"use {', '.join(QUALITIES)}")
        self._check_sound()
        self._check_buffer()
        if not self.numbered:
            check_output(self.output, overwrite=self.overwrite)
            if self.ledger:
                check_output(ledger_of(self.output), overwrite=self.overwrite)

    def _check_window(self, window: str) -> None:
        if not window.strip():
            raise UsageError("--window names no window", "give its title, or active")
        if not self.wants_video:
            raise UsageError(f"--window {window} needs a picture", "drop it, or name a file that holds one")
        if self.region is not None:
            raise UsageError(f"--window {window} and --region {self.region} are two pictures", "drop one of them")
        if self.screen != "primary":
            raise UsageError(f"--window {window} and --screen {self.screen} are two pictures", "drop one of them")

    def _check_sound(self) -> None:
        """The rules for what concerns sound alone."""
        needing = {
            "--wait-for-sound": self.wait_for_sound,
            "--stop-after-silence": self.stop_after_silence_s is not None,
            "--loudness": self.loudness_lufs is not None,
            "--voice": self.voice,
        }
        for option, given in needing.items():
            if given and not self.audio:
                raise UsageError(f"{option} needs sound, and none is to be recorded", "drop it, or --audio none")
        if not -90.0 <= self.sound_threshold_dbfs < 0.0:
            raise UsageError(
                f"a threshold of {self.sound_threshold_dbfs:g} dB is met always or never", "give one like -50dB"
            )
        if self.voice and self.container.audio_codec != "opus":
            raise UsageError(
                f"--voice writes Opus, and {self.output.suffix} cannot hold it", "end the name in .ogg or .opus"
            )
        if self.each and not self.waits:
            raise UsageError("--each needs something that begins every recording", "add --wait-for-sound or --hold KEY")

    def _check_buffer(self) -> None:
        """The rules for what is kept in memory, and made of it."""
        if self.since_s > (self.replay_s or 0.0):
            raise UsageError(
                f"--since {self.since_s:g}s reaches further back than the buffer of {self.replay_s or 0:g} s",
                "keep more with --replay or --last",
            )
        if self.waits and self.replay_s is not None and self.container.audio_codec == "flac":
            # Each of its packets has its number from the beginning of all.
            raise UsageError(
                f"no {self.output.suffix} can begin in the middle of what is kept", "end the name in .wav or .ogg"
            )
        if self.fallback_folder is not None and not self.fallback_folder.is_dir():
            raise UsageError(f"the folder {self.fallback_folder} does not exist", "create it first")


@dataclass(frozen=True, slots=True)
class ClipOrder:
    """What is wanted of a replay buffer."""

    output: Path | None = None
    #: How much; None is all there is.
    last_s: float | None = None
    #: Begin exactly there, instead of up to two seconds before.
    exact: bool = False
    #: The extension of what to turn it into; None keeps what was recorded.
    format: str | None = None
    #: Encode it anew so that it is no larger.
    max_bytes: int | None = None
    #: Write down what happened in it, into a file beside it.
    ledger: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ClipOrder:
        """An order from the options of a request. Raises `UsageError` for what cannot be meant."""
        # Exactly these: `true` would count as 1.
        flags = {"exact": (bool,), "ledger": (bool,)}
        kinds = {"output": (str,), "last_s": (int, float), "format": (str,), "max_bytes": (int,), **flags}
        for name, value in options.items():
            if type(value) not in kinds.get(name, ()):
                given = f"{name[:_EXCERPT]}={_excerpt(value)}"
                raise UsageError(f"a clip cannot have {given}", f"it takes {', '.join(kinds)}")
        order = cls(**{**options, **({"output": Path(options["output"])} if "output" in options else {})})
        if order.last_s is not None and not 0 < order.last_s <= MAX_TIME_S:
            raise UsageError(f"{_excerpt(order.last_s)} s is no length for a clip", "give more than zero seconds")
        if order.max_bytes is not None and not 0 < order.max_bytes <= MAX_CLIP_BYTES:
            raise UsageError(f"{_excerpt(order.max_bytes)} bytes is no size for a clip", "give more than zero bytes")
        if order.format is not None and order.format not in CLIP_FORMATS:
            raise UsageError(f"{_excerpt(order.format)} is no format for a clip", f"use {', '.join(CLIP_FORMATS)}")
        if order.output is not None:
            _check_name(order.output)
        return order

    def as_options(self) -> dict[str, Any]:
        """What `of` reads again."""
        given = {name: getattr(self, name) for name in self.__slots__}
        found = {name: value for name, value in given.items() if value}
        return {**found, "output": str(self.output.absolute())} if self.output is not None else found


def _excerpt(value: object) -> str:
    """As much of what somebody sent as fits into a sentence."""
    text = repr(value)
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


def _check_name(path: Path) -> None:
    """Raise `UsageError` unless a file could be called `path`, wherever this process has been started."""
    if not path.is_absolute():
        raise UsageError(f"{_excerpt(str(path))} depends on the folder that one is in", "give the whole path")
    try:
        os.fsencode(path)
        fits = "\0" not in str(path)
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(f"{_excerpt(str(path))} cannot be a file name", "choose another name")


def ledger_of(recording: Path) -> Path:
    """Where what happens to a recording is written down."""
    return recording.with_name(f"{recording.name}.ledger.jsonl")


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` unless a file called `path` may be made: its folder is there and the name is free."""
    try:
        taken = _is_taken(path)
        if not path.parent.is_dir():
            raise UsageError(f"the folder {path.parent} does not exist", "create it first")
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "name a file in it")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a regular file", "choose another name")
        if taken and not overwrite:
            raise UsageError(f"{path} exists already", "choose another name, or give --overwrite")
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(path)!r} cannot be a file name ({_reason(error)})", "choose another name") from error


def _is_taken(path: Path) -> bool:
    """Whether anything is called `path`, a link that leads nowhere included.

    Raises `OSError` or `ValueError` for what no file can be called; `Path.exists` takes some of that for a free name.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_writable(path: Path) -> None:
    """Raise `OutputError` unless a file can be made in the folder of `path`."""
    if not os.access(path.absolute().parent, os.W_OK):
        raise OutputError(f"{path.absolute().parent} cannot be written", "choose another folder")


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def container_of(path: Path) -> Container:
    """The container that the extension of `path` names; `UsageError` for one that is not known."""
    container = CONTAINERS.get(path.suffix[1:].lower())
    if container is None:
        known = " ".join(f".{name}" for name in CONTAINERS)
        found = f"the extension {path.suffix!r}" if path.suffix else f"{str(path)!r} has no extension; a missing one"
        raise UsageError(f"{found} names no format that can be written", f"use one of {known}")
    return container


_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER: Final = r"(?:[0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})"
_WITH_UNITS: Final = re.compile(rf"(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s)?(?:({_NUMBER})ms)?", re.ASCII)
_PLAIN: Final = re.compile(_NUMBER, re.ASCII)
_CLOCK: Final = re.compile(r"(?:([0-9]{1,6}):)?([0-9]{1,6}):([0-9]{1,2}(?:\.[0-9]{0,9})?)", re.ASCII)


def parse_time(text: str, *, zero_allowed: bool = False) -> float:
    """Seconds from `90`, `90s`, `1m30s`, `1:30` or `1:02:03`; also `500ms` and decimals."""
    seconds = _seconds(text.strip())
    if seconds is None:
        raise UsageError(f"{text!r} is not a time", "write it like 90, 90s, 1m30s or 1:30")
    if seconds == 0.0 and not zero_allowed:
        raise UsageError(f"{text!r} is no time at all", "give more than zero seconds")
    if seconds > MAX_TIME_S:
        raise UsageError(f"{text!r} is longer than a thousand hours", "give a shorter time")
    return seconds


def _seconds(text: str) -> float | None:
    if _PLAIN.fullmatch(text):
        return float(text)
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return hours * 3600 + minutes * 60 + seconds if seconds < 60 else None
    with_units = _WITH_UNITS.fullmatch(text)
    if not text or not with_units:
        return None
    return sum(float(n or 0) * unit_s for n, unit_s in zip(with_units.groups(), _UNITS_S.values(), strict=True))


_LEVEL: Final = re.compile(r"(-?[0-9]{1,3}(?:\.[0-9]{0,9})?)\s?(?:db|dbfs)?", re.ASCII | re.IGNORECASE)


def parse_level(text: str) -> float:
    """Decibels below full scale from `-50dB`, `-50 dBFS` or `-50`."""
    match = _LEVEL.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a level", "write it like -50dB")
    return float(match[1])


_SIZE: Final = re.compile(rf"({_NUMBER})\s?(|k|m|g|t)(|i?b)", re.ASCII | re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes from `500KB`, `16MB`, `2GB` (thousands, as sharing limits count), `16MiB` (1024s) or a bare number."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3].lower() == "ib" and not match[2]):
        raise UsageError(f"{text!r} is not a size", "write it like 500KB, 16MB or 2GB")
    base = 1024 if match[3].lower() == "ib" else 1000
    size_bytes: int = math.floor(float(match[1]) * base ** " kmgt".index(match[2].lower() or " "))
    if size_bytes == 0:
        raise UsageError(f"{text!r} leaves no room for anything", "give more than zero bytes")
    return size_bytes


_OFFSET: Final = r"(\+-?[0-9]{1,6}|-[0-9]{1,6})"
_REGION: Final = re.compile(rf"([0-9]{{1,6}})x([0-9]{{1,6}}){_OFFSET}{_OFFSET}", re.ASCII)
_GEOMETRY: Final = re.compile(r"([0-9]{1,6})x([0-9]{1,6})", re.ASCII)


def parse_region(text: str) -> Rectangle:
    """A rectangle from `WxH+X+Y`; X and Y may be negative: `640x480+-1280+0` or `640x480-1280+0`."""
    match = _REGION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a region", "write it like 1280x720+100+50")
    region = Rectangle(int(match[3].lstrip("+")), int(match[4].lstrip("+")), int(match[1]), int(match[2]))
    if region.width < 2 or region.height < 2:
        raise UsageError(f"the region {text!r} has no area to record", "make it at least 2x2")
    return region


def parse_geometry(text: str) -> tuple[int, int]:
    """Width and height, both even, from `WxH`."""
    match = _GEOMETRY.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a picture size", "write it like 1280x720")
    width, height = int(match[1]), int(match[2])
    if not (16 <= width <= MAX_PICTURE_SIDE and 16 <= height <= MAX_PICTURE_SIDE) or width % 2 or height % 2:
        raise UsageError(
            f"{text!r} cannot be encoded", f"use even numbers from 16 to {MAX_PICTURE_SIDE}, like 1280x720"
        )
    return width, height


def parse_fps(text: str) -> float:
    """Frames per second, above 0 and at most `MAX_FPS`."""
    fps = float(text) if _PLAIN.fullmatch(text.strip()) else 0.0
    if not 0.1 <= fps <= MAX_FPS:
        raise UsageError(f"{text!r} frames per second cannot be recorded", f"give a number from 0.1 to {MAX_FPS}")
    return fps


def parse_audio(values: Sequence[str]) -> tuple[AudioTrack, ...]:
    """Tracks from the values of every `--audio`: one track each, `+` mixes within it, `none` alone means no sound."""
    if "none" in values:
        if len(values) > 1:
            raise UsageError("--audio none was given beside other sources", "give either none or sources")
        return ()
    tracks = tuple(AudioTrack(tuple(_sources(value))) for value in values)
    names = [track.name for track in tracks]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--audio {name} was given twice", "name each track once")
    return tracks


def _sources(value: str) -> Iterable[str]:
    parts = value.split("+")
    for part in parts:
        if not part or part != part.strip() or not part.isprintable():
            raise UsageError(f"--audio {value!r} names an empty source", "write it like internal, mic or internal+mic")
        if part.startswith(APPLICATION) and not part.removeprefix(APPLICATION).strip():
            raise UsageError(f"--audio {value!r} names no application", "write it like app:firefox; devices lists them")
        if part == "none":
            raise UsageError(f"--audio {value!r} mixes none with a source", "drop the none")
        if parts.count(part) > 1:
            raise UsageError(f"--audio {value!r} mixes {part} with itself", "name each source once")
    return parts
