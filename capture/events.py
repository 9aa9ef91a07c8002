"""The commands that a session takes, and the events, progress and summaries that it emits.

The terminal line, the JSON and the tests all read the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from capture.errors import (
    CaptureError,
    DiskFullError,
    DisplayLostError,
    FileGoneError,
    FileTooLargeError,
    SourceLostError,
)

__all__ = [
    "OF_FILES",
    "Answer",
    "AudioSummary",
    "Command",
    "Event",
    "EventKind",
    "EventSink",
    "Level",
    "Progress",
    "Request",
    "Send",
    "State",
    "Summary",
    "VideoSummary",
    "kind_of",
]


class EventKind(StrEnum):
    """What happened. JSON and the ledger contain the value.

    The detail of an event about an audio source starts with the source's name and a colon. Between DEVICE_LOST and
    DEVICE_BACK the source is recorded as silence; DEVICE_CHANGED is a move to another device.
    """

    APPLICATION = "application"
    BAD_SAMPLES = "bad_samples"
    BEGUN = "begun"
    BUFFER_LOST = "buffer_lost"
    CHAPTERS = "chapters"
    CLIP = "clip"
    CLIP_FAILED = "clip_failed"
    CLOSE_ERROR = "close_error"
    CROPPED = "cropped"
    DEVICE_BACK = "device_back"
    DEVICE_CHANGED = "device_changed"
    DEVICE_LOST = "device_lost"
    DISCARDED = "discarded"
    DISK_FULL = "disk_full"
    DISK_SLOW = "disk_slow"
    DISPLAY_CHANGED = "display_changed"
    DISPLAY_LOST = "display_lost"
    DROPPED = "dropped"
    ENCODER = "encoder"
    ENDED = "ended"
    FAILED = "failed"
    FILE_GONE = "file_gone"
    HOLE = "hole"
    HOTKEYS = "hotkeys"
    KEYS_SHOWN = "keys_shown"
    LEFT_OUT = "left_out"
    LOUDNESS = "loudness"
    MARK = "mark"
    MOVED = "moved"
    NOT_BEGUN = "not_begun"
    NOT_IMPROVED = "not_improved"
    NO_CURSOR = "no_cursor"
    NO_DATA = "no_data"
    NO_HOTKEYS = "no_hotkeys"
    NO_LEDGER = "no_ledger"
    NO_PREVIEW = "no_preview"
    NO_REMOTE = "no_remote"
    OLD_FILE = "old_file"
    PAUSE = "pause"
    PERMISSION_REVOKED = "permission_revoked"
    RESUME = "resume"
    SCREEN_BLANKED = "screen_blanked"
    SCREEN_LOCKED = "screen_locked"
    SCREEN_READABLE = "screen_readable"
    SCREEN_SHOWN = "screen_shown"
    SCREEN_UNLOCKED = "screen_unlocked"
    SCREEN_UNREADABLE = "screen_unreadable"
    SILENT = "silent"
    SIZE_LIMIT = "size_limit"
    SOUND = "sound"
    STOOD_STILL = "stood_still"
    UNFINISHED = "unfinished"
    VOLUME = "volume"
    WAITING = "waiting"
    WINDOW_CLOSED = "window_closed"
    WINDOW_NOT_KEPT = "window_not_kept"


#: What concerns one file, and no other of the same time.
OF_FILES: Final = frozenset(
    {
        EventKind.CHAPTERS,
        EventKind.CLOSE_ERROR,
        EventKind.DISK_FULL,
        EventKind.DISK_SLOW,
        EventKind.FILE_GONE,
        EventKind.LOUDNESS,
        EventKind.MOVED,
        EventKind.NOT_IMPROVED,
        EventKind.NO_LEDGER,
        EventKind.OLD_FILE,
        EventKind.SIZE_LIMIT,
        EventKind.UNFINISHED,
    }
)

#: Subclasses come before the classes that they derive from.
_KINDS_OF_ERRORS: Final[Mapping[type[CaptureError], EventKind]] = {
    DisplayLostError: EventKind.DISPLAY_LOST,
    SourceLostError: EventKind.DEVICE_LOST,
    DiskFullError: EventKind.DISK_FULL,
    FileTooLargeError: EventKind.SIZE_LIMIT,
    FileGoneError: EventKind.FILE_GONE,
}


def kind_of(error: CaptureError) -> EventKind:
    """The kind of the event that reports `error`."""
    for error_class, kind in _KINDS_OF_ERRORS.items():
        if isinstance(error, error_class):
            return kind
    return EventKind.FAILED


class State(Enum):
    """The state of a session: idle → armed → recording ⇄ paused → finishing → finished | discarded | failed."""

    IDLE = "idle"
    ARMED = "armed"
    #: As armed, but for any number of recordings; a replay buffer may fill meanwhile.
    STANDBY = "standby"
    RECORDING = "recording"
    PAUSED = "paused"
    FINISHING = "finishing"
    FINISHED = "finished"
    DISCARDED = "discarded"
    FAILED = "failed"


class Command(Enum):
    """A command for a running session. A command for the current state, such as PAUSE when paused, changes nothing."""

    #: Start recording, if the session is waiting.
    START = "start"
    STOP = "stop"
    #: Stop, and end the session.
    QUIT = "quit"
    #: Start if the session is waiting, else stop.
    TOGGLE = "toggle"
    PAUSE = "pause"
    RESUME = "resume"
    TOGGLE_PAUSE = "toggle_pause"
    DISCARD = "discard"
    #: Add a chapter mark; its title is in the request's text.
    MARK = "mark"
    #: While paused, play what was recorded so far.
    PREVIEW = "preview"
    #: Save what the replay buffer holds.
    CLIP = "clip"
    #: Change nothing, and answer with the state.
    STATUS = "status"


#: Takes the answer to a request: `{"ok": True, …}` or `{"ok": False, "error": "what is wrong and what to do"}`.
Answer: TypeAlias = Callable[[dict[str, Any]], None]


class Request(NamedTuple):
    """A command, its origin (`hotkey`, …: the `stopped_by` of a summary), and its moment on the session's clock.

    `answer` takes the answer, if one is expected. A thread of the session calls it once; it must only pass the answer
    on.
    """

    command: Command
    given_by: str
    at_s: float
    text: str = ""
    answer: Answer | None = None
    #: The options of a CLIP, as `settings.ClipOrder.of` reads them.
    options: Mapping[str, Any] = MappingProxyType({})


class Send(Protocol):
    """Sends a command to a session. Any thread may call it. `at_s` is the command's moment; None means now."""

    def __call__(
        self,
        command: Command,
        given_by: str,
        *,
        at_s: float | None = None,
        text: str = "",
        answer: Answer | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a recording. Moments are seconds into the recording; pauses do not count."""

    kind: EventKind
    at_s: float
    detail: str = ""
    #: When it ended; None if it has no length.
    to_s: float | None = None
    #: How many there were, for events that are counted; 0 for others.
    count: int = 0

    @property
    def end_s(self) -> float:
        return self.at_s if self.to_s is None else self.to_s

    def moved(self, by_s: float) -> Event:
        """Return the event on a timeline that starts `by_s` earlier. Moments before its start become 0."""
        to_s = None if self.to_s is None else max(0.0, self.to_s + by_s)
        return replace(self, at_s=max(0.0, self.at_s + by_s), to_s=to_s)

    def as_json(self) -> dict[str, Any]:
        """Return the keys that scripts rely on, without `to_s` and `count` when the event has none."""
        found: dict[str, Any] = {"at_s": round(self.at_s, 3), "kind": self.kind, "detail": self.detail}
        if self.to_s is not None:
            found["to_s"] = round(self.to_s, 3)
        if self.count:
            found["count"] = self.count
        return found


class Level(NamedTuple):
    """The peak level of an audio track since the last report, and its problem if it has one."""

    source: str
    peak_dbfs: float
    #: "" while sound comes, else "no data" (nothing is delivered), what is muted ("Speakers is muted"), or "nothing is
    #: playing" (zeros are delivered).
    trouble: str = ""


class Progress(NamedTuple):
    """The progress of a recording, several times a second. `fps` is the rate of new frames since the last report."""

    state: State
    elapsed_s: float
    size_bytes: int
    width: int = 0
    height: int = 0
    fps: float = 0.0
    dropped: int = 0
    levels: tuple[Level, ...] = ()
    #: While the session waits, what starts the recording: "waiting for sound", "hold Ctrl+Alt+Space to record".
    waiting_for: str = ""
    #: The length and size of the replay buffer.
    buffer_s: float = 0.0
    buffer_bytes: int = 0
    #: While the file is finished, the share of the work on it that is done, from 0 to 1; 0 if that is unknown.
    done: float = 0.0


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """The picture of a finished recording. `unchanged` and `dropped` count slots of 1/fps without a frame."""

    codec: str
    encoder: str
    width: int
    height: int
    frames: int
    unchanged: int
    dropped: int
    #: Why this encoder was chosen; None if there was no choice.
    encoder_choice: str | None = None


@dataclass(frozen=True, slots=True)
class AudioSummary:
    """One audio track of a finished recording. `drift_ppm` is positive when the device ran fast."""

    source: str
    device: str
    codec: str
    sample_rate: int
    channels: int
    duration_s: float
    inserted_silence_s: float
    drift_ppm: float
    peak_dbfs: float
    silent: bool
    #: What was muted or turned down while it was recorded, if the track is silent and this is known.
    silent_because: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a recording. `as_json` returns the keys that scripts rely on, in a fixed order."""

    path: str
    container: str
    duration_s: float
    size_bytes: int
    video: VideoSummary | None
    audio: tuple[AudioSummary, ...]
    paused_s: float
    events: tuple[Event, ...]
    stopped_by: str
    check: str
    #: The path of the ledger; None if none was requested.
    ledger: str | None = None

    def as_json(self) -> dict[str, Any]:
        found = {
            "path": self.path,
            "container": self.container,
            "duration_s": round(self.duration_s, 3),
            "size_bytes": self.size_bytes,
            "video": None if self.video is None else _plain(self.video),
            "audio": [_plain(track) for track in self.audio],
            "paused_s": round(self.paused_s, 3),
            "events": [event.as_json() for event in self.events],
            "stopped_by": self.stopped_by,
            "check": self.check,
        }
        return found if self.ledger is None else {**found, "ledger": self.ledger}


EventSink: TypeAlias = Callable[[Event | Progress | Summary], None]


def _plain(record: VideoSummary | AudioSummary) -> dict[str, Any]:
    """Return the fields of a record as JSON values, rounded to thousandths, without those that are None."""
    values = {name: getattr(record, name) for name in record.__slots__}
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
    return {name: value for name, value in rounded.items() if value is not None}
