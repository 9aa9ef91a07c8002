"""What to record, said once and checked before anything is touched.

The parsers turn what a person typed into values; each raises `UsageError` with the text and the remedy, and nothing
else, whatever it is given. `RecordSettings.check` holds the rules that concern several values at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from capture.errors import UsageError
from capture.formats import CLIP_FORMATS, ENCODERS, QUALITIES, Container, container_of
from capture.media import Rectangle
from capture.output.naming import EXCERPT, check_name, check_output, excerpt, ledger_of

__all__ = ["APPLICATION", "MAX_FPS", "AudioTrack", "ClipOrder", "RecordSettings"]

#: Beyond this the slot is shorter than a grab of a small screen takes.
MAX_FPS: Final = 240

#: The longest time that is taken at its word, a thousand hours; longer ones are slips of the keyboard.
MAX_TIME_S: Final = 3_600_000.0

#: More than any file system holds in a file, and few enough to be counted with.
MAX_CLIP_BYTES: Final = 1 << 60


#: The widest picture that H.264 level 6.2 codes.
MAX_PICTURE_SIDE: Final = 16_384

#: How a source that is one application's sound is written: this and the application's name.
APPLICATION: Final = "app:"


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
