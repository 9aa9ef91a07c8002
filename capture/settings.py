"""What to record, and what to save of it: every value is checked when it is set, whoever sets it.

`RecordSettings` raises `SettingError` for a value that cannot be recorded and for values that contradict each other;
`RecordSettings.check` asks the file system as well. The parsers of `capture.parsing` use the same bounds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, TypedDict

from capture.errors import SettingError, UsageError
from capture.formats import CLIP_FORMATS, ENCODERS, QUALITIES, Container, container_of
from capture.media import Rectangle
from capture.output.naming import EXCERPT, check_name, check_output, excerpt, ledger_of
from capture.remote.runtime_folder import check_name as check_recorder_name
from capture.triggers.bindings import check_bindings

__all__ = [
    "APPLICATION",
    "LOUDNESS_LUFS",
    "MAX_FPS",
    "MAX_PICTURE_SIDE",
    "MAX_TIME_S",
    "MIN_FPS",
    "MIN_PICTURE_SIDE",
    "AudioTrack",
    "ClipOrder",
    "Problem",
    "RecordSettings",
    "SettingOptions",
    "problem_of",
    "time_problem",
    "tracks_of",
]

#: Above this a slot is shorter than a grab of a small screen takes.
MAX_FPS: Final = 240
MIN_FPS: Final = 0.1

#: A thousand hours. Longer times are slips of the keyboard.
MAX_TIME_S: Final = 3_600_000.0

#: More than any file system holds in a file, and few enough to be counted with.
MAX_CLIP_BYTES: Final = 1 << 60

#: The widest picture that H.264 level 6.2 codes, and the smallest that every encoder takes.
MAX_PICTURE_SIDE: Final = 16_384
MIN_PICTURE_SIDE: Final = 16

#: Loudness targets lie strictly between these. EBU R 128 gates at the lower one: what is quieter counts as silence.
LOUDNESS_LUFS: Final = (-70.0, 0.0)

#: How a source that is one application's sound is written: this and the application's name.
APPLICATION: Final = "app:"

#: What to do about a value: the problem with it, and the remedy.
Problem: TypeAlias = tuple[str, str]


class AudioTrack(NamedTuple):
    """One track of the file and the sources mixed into it: `internal`, `mic`, `app:NAME`, or a device's id."""

    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        return "+".join(self.sources)


def tracks_of(audio: object) -> tuple[AudioTrack, ...]:
    """Tracks from what a caller gives: `"internal+mic"` is one mixed track, `["internal", "mic"]` are two.

    `None`, `"none"` and an empty sequence mean no sound. Raises `UsageError`.
    """
    if audio is None:
        return ()
    given = [audio] if isinstance(audio, str | AudioTrack) else audio
    if not isinstance(given, Sequence) or not all(isinstance(each, str | AudioTrack) for each in given):
        raise UsageError(f"audio={audio!r} names no sources", "write it like 'internal' or ['internal', 'mic']")
    if "none" in given:
        if len(given) > 1:
            raise UsageError("the audio source none was given beside other sources", "give either none or sources")
        return ()
    tracks = tuple(AudioTrack(tuple(_sources(each))) for each in given)
    names = [track.name for track in tracks]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the audio track {name} was given twice", "name each track once")
    return tracks


def _sources(track: str | AudioTrack) -> Sequence[str]:
    parts = track.split("+") if isinstance(track, str) else track.sources
    if isinstance(parts, str) or not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{track!r} names no sources", "write it like 'internal+mic' or AudioTrack(('internal',))")
    value = "+".join(parts)
    if not parts:
        raise UsageError("an audio track has no source", "write it like internal, mic or internal+mic")
    for part in parts:
        if not part or part != part.strip() or not part.isprintable():
            raise UsageError(
                f"the audio track {value!r} has an empty source", "write it like internal, mic or internal+mic"
            )
        if part.startswith(APPLICATION) and not part.removeprefix(APPLICATION).strip():
            raise UsageError(f"{value!r} names no application", "write it like app:firefox; devices lists them")
        if part == "none":
            raise UsageError(f"the audio track {value!r} mixes none with a source", "drop the none")
        if parts.count(part) > 1:
            raise UsageError(f"the audio track {value!r} mixes {part} with itself", "name each source once")
    return parts


# The bounds of each value


def _is_number(value: object) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def time_problem(seconds: Any, *, zero_allowed: bool = False) -> Problem | None:
    """What is wrong with a length of time in seconds; None for a good one."""
    if not _is_number(seconds) or seconds < 0:
        return "is not a time", "give seconds"
    if seconds == 0 and not zero_allowed:
        return "is no time at all", "give more than zero seconds"
    return ("is longer than a thousand hours", "give a shorter time") if seconds > MAX_TIME_S else None


def _fps_problem(fps: Any) -> Problem | None:
    fine = _is_number(fps) and MIN_FPS <= fps <= MAX_FPS
    return None if fine else ("frames per second cannot be recorded", f"give a number from {MIN_FPS} to {MAX_FPS}")


def _scale_problem(scale: Any) -> Problem | None:
    if not isinstance(scale, Sequence) or isinstance(scale, str) or len(scale) != 2 or not all(map(_is_whole, scale)):
        return "is not a picture size", "give width and height, like 1280x720"
    if any(not MIN_PICTURE_SIDE <= side <= MAX_PICTURE_SIDE or side % 2 for side in scale):
        return (
            "cannot be encoded",
            f"use even numbers from {MIN_PICTURE_SIDE} to {MAX_PICTURE_SIDE}, like 1280x720",
        )
    return None


def _region_problem(region: Any) -> Problem | None:
    if not isinstance(region, Rectangle):
        return "is not a region", "give a Rectangle, or write it like 1280x720+100+50"
    sides = (region.left, region.top, region.width, region.height)
    if not all(map(_is_whole, sides)) or region.width < 2 or region.height < 2:
        return "has no area to record", "make it at least 2x2"
    return None


def _threshold_problem(dbfs: Any) -> Problem | None:
    fine = _is_number(dbfs) and -90.0 <= dbfs < 0.0
    return None if fine else ("is met always or never", "give one like -50dB")


def _loudness_problem(lufs: Any) -> Problem | None:
    low, high = LOUDNESS_LUFS
    fine = _is_number(lufs) and low < lufs < high
    return None if fine else ("is out of range", f"give a loudness between {low:g}LUFS and {high:g}, like -16LUFS")


def _bytes_problem(size: Any) -> Problem | None:
    return None if _is_whole(size) and size > 0 else ("leaves no room for anything", "give more than zero bytes")


def _name_problem(text: Any) -> Problem | None:
    fine = isinstance(text, str) and text.strip() and text.isprintable()
    return None if fine else ("names nothing", "see capture devices")


def _quality_problem(quality: Any) -> Problem | None:
    return None if quality in QUALITIES else ("is not known as a quality", f"use {', '.join(QUALITIES)}")


def _encoder_problem(encoder: Any) -> Problem | None:
    return None if isinstance(encoder, str) and encoder else ("names no encoder", "use auto")


def _hold_problem(key: Any) -> Problem | None:
    return _as_problem(lambda: check_bindings({}, key)) if isinstance(key, str) else ("is no key", "give one like <f9>")


def _recorder_problem(name: Any) -> Problem | None:
    return _as_problem(lambda: check_recorder_name(name)) if isinstance(name, str) else ("is no name", "give letters")


def _folder_problem(folder: Any) -> Problem | None:
    return None if isinstance(folder, str | os.PathLike) else ("is no folder", "give a path")


def _as_problem(check: Callable[[], None]) -> Problem | None:
    try:
        check()
    except UsageError as error:
        return f"cannot be used ({error.message})", error.remedy
    return None


_BOUNDS: Final[Mapping[str, Callable[[Any], Problem | None]]] = {
    "region": _region_problem,
    "window": _name_problem,
    "screen": _name_problem,
    "scale": _scale_problem,
    "fps": _fps_problem,
    "quality": _quality_problem,
    "encoder": _encoder_problem,
    "duration_s": time_problem,
    "delay_s": lambda seconds: time_problem(seconds, zero_allowed=True),
    "stop_after_silence_s": time_problem,
    "sound_threshold_dbfs": _threshold_problem,
    "replay_s": time_problem,
    "buffer_bytes": _bytes_problem,
    "pre_roll_s": lambda seconds: time_problem(seconds, zero_allowed=True),
    "fallback_folder": _folder_problem,
    "hold": _hold_problem,
    "loudness_lufs": _loudness_problem,
    "name": _recorder_problem,
}

_OPTIONAL: Final = frozenset(
    {
        *("region", "window", "screen", "scale", "duration_s", "stop_after_silence_s", "replay_s", "fallback_folder"),
        *("hold", "loudness_lufs", "name"),
    }
)

_REALS: Final = (
    *("fps", "duration_s", "delay_s", "stop_after_silence_s", "sound_threshold_dbfs", "replay_s", "pre_roll_s"),
    "loudness_lufs",
)

_FLAGS: Final = (
    *("constant_fps", "cursor", "show_clicks", "show_keys", "pattern", "overwrite", "numbered", "wait_for_sound"),
    *("dated", "repeat", "standby", "voice", "ledger"),
)


def problem_of(field_name: str, value: object) -> Problem | None:
    """What is wrong with `value` for the field of `RecordSettings`, by itself; None when it is fine."""
    if field_name in _FLAGS:
        return None if isinstance(value, bool) else ("is neither True nor False", "give one of them")
    if value is None and field_name in _OPTIONAL:
        return None
    return _BOUNDS[field_name](value)


class SettingOptions(TypedDict, total=False):
    """The fields of `RecordSettings` but `output`, with the types that a caller may give."""

    audio: str | Sequence[str | AudioTrack] | None
    screen: str | int | None
    region: Rectangle | None
    window: str | None
    scale: tuple[int, int] | None
    fps: float
    constant_fps: bool
    cursor: bool
    show_clicks: bool
    show_keys: bool
    quality: str
    encoder: str
    duration_s: float | None
    delay_s: float
    pattern: bool
    overwrite: bool
    numbered: bool
    wait_for_sound: bool
    stop_after_silence_s: float | None
    sound_threshold_dbfs: float
    dated: bool
    repeat: bool
    standby: bool
    replay_s: float | None
    buffer_bytes: int
    pre_roll_s: float
    fallback_folder: str | os.PathLike[str] | None
    hold: str | None
    voice: bool
    loudness_lufs: float | None
    ledger: bool
    name: str | None


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """Everything that decides a recording.

    Made with any value that means something: `output` and folders also as `str`, `audio` also as a string or a list of
    strings, `screen` also as a number. Raises `SettingError`, which names the field and its value, for what cannot be
    recorded, and `UsageError` for an output whose extension is unknown.
    """

    output: Path
    audio: tuple[AudioTrack, ...] = (AudioTrack(("internal",)),)
    #: `primary`, `all`, a number from 1 or a name from `devices`; None records no picture. `auto` becomes `primary`
    #: where the file holds a picture, and else None.
    screen: str | None = "auto"
    region: Rectangle | None = None
    #: One window instead of a screen: its title, a part of that, its id, or `active`.
    window: str | None = None
    #: Width and height of the recorded picture; None keeps that of the screen.
    scale: tuple[int, int] | None = None
    fps: float = 30.0
    constant_fps: bool = False
    cursor: bool = True
    #: Draw a ring around the mouse when it is clicked, and the keys that are pressed, into the picture.
    show_clicks: bool = False
    show_keys: bool = False
    quality: str = "medium"
    encoder: str = "auto"
    duration_s: float | None = None
    delay_s: float = 0.0
    #: The built-in picture and tone in place of the devices.
    pattern: bool = False
    overwrite: bool = False
    #: When the name is taken use the next free one, with ` (2)` and so on.
    numbered: bool = False
    #: Begin when sound begins, with a moment before it.
    wait_for_sound: bool = False
    #: Stop after this much silence; None goes on.
    stop_after_silence_s: float | None = None
    #: What is louder than this, and than the noise of the source, is sound.
    sound_threshold_dbfs: float = -50.0
    #: The name tells when a recording began, and each recording gets a new one.
    dated: bool = False
    #: Record again and again, each time into a file of its own.
    repeat: bool = False
    #: Wait for any number of recordings, begun by a key or a command.
    standby: bool = False
    #: Keep this much in memory, for clips; None keeps nothing.
    replay_s: float | None = None
    #: Memory limit of the replay buffer.
    buffer_bytes: int = 500_000_000
    #: A recording begun in standby starts this long before, out of the replay buffer.
    pre_roll_s: float = 0.0
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
    #: The name of this recorder for the remote control; None takes a free one.
    name: str | None = None
    container: Container = field(init=False)

    def __post_init__(self) -> None:
        self._set("output", _path_of("output", self.output))
        self._set("container", container_of(self.output))
        self._set("audio", tracks_of(self.audio))
        if _is_whole(self.screen):
            self._set("screen", str(self.screen))
        if self.screen == "auto":
            self._set("screen", "primary" if self.container.holds_video else None)
        for name in (*_BOUNDS, *_FLAGS):
            value = getattr(self, name)
            if (problem := problem_of(name, value)) is not None:
                # They may repeat the value, which may have braces.
                words, remedy = (text.replace("{", "{{").replace("}", "}}") for text in problem)
                raise SettingError(f"{{{name}}} {words}", remedy, **{name: value})
        for name in _REALS:
            # Whatever kind of number it is, as a fraction or one of numpy's.
            if getattr(self, name) is not None:
                self._set(name, float(getattr(self, name)))
        self._set("buffer_bytes", int(self.buffer_bytes))
        if self.fallback_folder is not None:
            self._set("fallback_folder", _path_of("fallback_folder", self.fallback_folder))
        if self.scale is not None:
            self._set("scale", (int(self.scale[0]), int(self.scale[1])))
        self._check_picture()
        self._check_sound()
        self._check_waiting()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def wants_video(self) -> bool:
        return self.screen is not None

    @property
    def waits(self) -> bool:
        """Whether something outside begins the recording."""
        return self.wait_for_sound or self.hold is not None or self.standby

    @property
    def records_several(self) -> bool:
        """Whether one recording follows the other."""
        return self.repeat or self.standby

    @property
    def is_numbered(self) -> bool:
        """Whether a name that is taken gives way to the next one."""
        return self.numbered or self.records_several

    def check(self) -> None:
        """Raise `UsageError` where the file system is against it. Touches nothing."""
        if self.fallback_folder is not None and not _is_folder(self.fallback_folder):
            raise UsageError(f"the folder {self.fallback_folder} does not exist", "create it first")
        if not self.numbered:
            check_output(self.output, overwrite=self.overwrite)
            if self.ledger:
                check_output(ledger_of(self.output), overwrite=self.overwrite)

    def made_absolute(self) -> RecordSettings:
        """The same with full paths, which mean the same when the current folder changes. Raises `UsageError`."""
        try:
            fallback = None if self.fallback_folder is None else self.fallback_folder.absolute()
            return replace(self, output=self.output.absolute(), fallback_folder=fallback)
        except FileNotFoundError as error:
            raise UsageError("the current folder was removed", "change to another one, or give a full path") from error

    def _check_picture(self) -> None:
        """Raise `SettingError` when values that concern the picture contradict each other or the container."""
        suffix = self.output.suffix
        if self.wants_video and not self.container.holds_video:
            raise SettingError(
                f"{suffix} holds sound alone, and a picture was asked for",
                "use {screen:none}, or end the name in .mp4, .mov, .mkv or .webm",
                screen=self.screen,
            )
        needing = {"show_clicks": self.show_clicks, "show_keys": self.show_keys}
        needing |= {"region": self.region is not None, "window": self.window is not None}
        for name, given in needing.items():
            if given and not self.wants_video:
                raise SettingError(
                    f"{{{name}}} needs a picture", "drop it, or record a screen", **{name: getattr(self, name)}
                )
        others = {"region": self.region, "screen": None if self.screen == "primary" else self.screen}
        for name, other in others.items():
            if self.window is not None and other is not None:
                raise SettingError(
                    f"{{window}} and {{{name}}} are two pictures",
                    "drop one of them",
                    **{"window": self.window, name: other},
                )
        known = ENCODERS.get(self.container.video_codec or "", ())
        if self.wants_video and self.encoder != "auto" and self.encoder not in known:
            raise SettingError(
                f"{{encoder}} cannot make {suffix}", f"use auto, {', '.join(known)}", encoder=self.encoder
            )

    def _check_sound(self) -> None:
        """The same for what concerns sound."""
        suffix = self.output.suffix
        if not self.wants_video and not self.audio:
            raise SettingError(
                "neither picture nor sound is to be recorded", "drop {screen:none} or {audio:none}", audio="none"
            )
        if len(self.audio) > self.container.max_audio_tracks:
            raise SettingError(
                f"{suffix} cannot hold {len(self.audio)} audio tracks",
                "mix them with +, as in {audio:internal+mic}, or end the name in .mkv or .mp4",
                audio=[track.name for track in self.audio],
            )
        needing = {
            "wait_for_sound": self.wait_for_sound,
            "stop_after_silence_s": self.stop_after_silence_s is not None,
            "loudness_lufs": self.loudness_lufs is not None,
            "voice": self.voice,
        }
        for name, given in needing.items():
            if given and not self.audio:
                raise SettingError(
                    f"{{{name}}} needs sound, and none is to be recorded",
                    "drop it, or {audio:none}",
                    **{name: getattr(self, name)},
                )
        if self.voice and self.container.audio_codec != "opus":
            raise SettingError(
                f"{{voice}} writes Opus, and {suffix} cannot hold it", "end the name in .ogg or .opus", voice=True
            )

    def _check_waiting(self) -> None:
        """The same for what begins a recording, and for the replay buffer."""
        if self.repeat and not self.waits:
            raise SettingError(
                "{repeat} needs something that begins every recording",
                "add {wait_for_sound} or {hold:KEY}",
                repeat=True,
                wait_for_sound=True,
            )
        if self.pre_roll_s > (self.replay_s or 0.0):
            raise SettingError(
                f"{{pre_roll_s}} reaches further back than the buffer of {self.replay_s or 0:g} s",
                "keep more with {replay_s:T}",
                pre_roll_s=self.pre_roll_s,
            )
        if self.waits and self.replay_s is not None and self.container.audio_codec == "flac":
            # A FLAC packet is numbered from the beginning of its stream.
            raise SettingError(
                f"no {self.output.suffix} can begin in the middle of a replay buffer",
                "end the name in .wav or .ogg",
                replay_s=self.replay_s,
            )


def _path_of(name: str, value: object) -> Path:
    """The value as a path. Raises `SettingError` for what is no path."""
    if not isinstance(value, str | os.PathLike) or isinstance(path := os.fspath(value), bytes):
        raise SettingError(f"{{{name}}} is no path", "give a str or a Path", **{name: value})
    return Path(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except ValueError:
        return False


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
                given = f"{name[:EXCERPT]}={excerpt(value)}"
                raise UsageError(f"a clip cannot have {given}", f"it takes {', '.join(kinds)}")
        order = cls(**{**options, **({"output": Path(options["output"])} if "output" in options else {})})
        if order.last_s is not None and not 0 < order.last_s <= MAX_TIME_S:
            raise UsageError(f"{excerpt(order.last_s)} s is no length for a clip", "give more than zero seconds")
        if order.max_bytes is not None and not 0 < order.max_bytes <= MAX_CLIP_BYTES:
            raise UsageError(f"{excerpt(order.max_bytes)} bytes is no size for a clip", "give more than zero bytes")
        if order.format is not None and order.format not in CLIP_FORMATS:
            raise UsageError(f"{excerpt(order.format)} is no format for a clip", f"use {', '.join(CLIP_FORMATS)}")
        if order.output is not None:
            check_name(order.output)
        return order

    def as_options(self) -> dict[str, Any]:
        """What `of` reads again."""
        given = {name: getattr(self, name) for name in self.__slots__}
        found = {name: value for name, value in given.items() if value}
        return {**found, "output": str(self.output.absolute())} if self.output is not None else found
