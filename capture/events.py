"""Commands in, events out: the only two languages a session speaks.

The terminal line, the JSON and the tests all read the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias

from capture.event_kinds import EventKind

__all__ = [
    "Answer",
    "AudioSummary",
    "Command",
    "Event",
    "EventSink",
    "Level",
    "Progress",
    "Request",
    "Send",
    "State",
    "Summary",
    "VideoSummary",
]


class State(Enum):
    """Where a session is: idle → armed → recording ⇄ paused → finishing → finished | discarded | failed."""

    IDLE = "idle"
    ARMED = "armed"
    #: As armed, but for as many recordings as are wanted; a replay buffer may fill meanwhile.
    STANDBY = "standby"
    RECORDING = "recording"
    PAUSED = "paused"
    FINISHING = "finishing"
    FINISHED = "finished"
    DISCARDED = "discarded"
    FAILED = "failed"


class Command(Enum):
    """What can be asked of a running session. Asking for what already is so changes nothing."""

    #: Begin to record, where it waits for that.
    START = "start"
    STOP = "stop"
    #: Stop, and let nothing follow.
    QUIT = "quit"
    #: Begin where it waits, else stop.
    TOGGLE = "toggle"
    PAUSE = "pause"
    RESUME = "resume"
    TOGGLE_PAUSE = "toggle_pause"
    DISCARD = "discard"
    #: Remember this moment; its name is in the request's text.
    MARK = "mark"
    #: While paused, play what was recorded so far.
    PREVIEW = "preview"
    #: Save what the replay buffer holds.
    CLIP = "clip"
    #: Only the answer is wanted.
    STATUS = "status"


#: What is told to whoever asked: `{"ok": True, …}` or `{"ok": False, "error": "what is wrong and what to do"}`.
Answer: TypeAlias = Callable[[dict[str, Any]], None]


class Request(NamedTuple):
    """A command, who gave it (`hotkey`, …: what `stopped_by` will say), and the moment meant on the session's clock.

    `answer`, where somebody waits for one, is called once by a thread of the session and must only pass it on.
    """

    command: Command
    given_by: str
    at_s: float
    text: str = ""
    answer: Answer | None = None
    #: What a CLIP wants, as `settings.ClipOrder.of` reads it.
    options: Mapping[str, Any] = MappingProxyType({})


class Send(Protocol):
    """Takes commands to a session; any thread may call it. Without `at_s` the moment meant is now."""

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
    """Something worth remembering of a recording. Moments are seconds into the recording, pauses left out."""

    kind: EventKind
    at_s: float
    detail: str = ""
    #: When it ended; None for what has no length.
    to_s: float | None = None
    #: How many there were of what is counted; 0 for what is not.
    count: int = 0

    @property
    def end_s(self) -> float:
        return self.at_s if self.to_s is None else self.to_s

    def moved(self, by_s: float) -> Event:
        """The same on a time line that begins so much earlier; nothing lies before its beginning."""
        to_s = None if self.to_s is None else max(0.0, self.to_s + by_s)
        return replace(self, at_s=max(0.0, self.at_s + by_s), to_s=to_s)

    def as_json(self) -> dict[str, Any]:
        """The keys that scripts rely on; `to_s` and `count` only where there is one."""
        found: dict[str, Any] = {"at_s": round(self.at_s, 3), "kind": self.kind, "detail": self.detail}
        if self.to_s is not None:
            found["to_s"] = round(self.to_s, 3)
        if self.count:
            found["count"] = self.count
        return found


class Level(NamedTuple):
    """How loud one audio track was since the last report, and what is the matter with it if anything."""

    source: str
    peak_dbfs: float
    #: "" while sound comes, else "no data" (nothing is delivered), what is muted ("Speakers is muted"), or "nothing is
    #: playing" (zeros are delivered).
    trouble: str = ""


class Progress(NamedTuple):
    """The state of things, several times a second. `fps` is the rate of frames taken since the last report."""

    state: State
    elapsed_s: float
    size_bytes: int
    width: int = 0
    height: int = 0
    fps: float = 0.0
    dropped: int = 0
    levels: tuple[Level, ...] = ()
    #: What makes the recording begin, while it waits for that.
    waiting_for: str = ""
    #: What the replay buffer holds.
    buffer_s: float = 0.0
    buffer_bytes: int = 0


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """The picture of a finished recording. `unchanged` and `dropped` count slots of 1/fps that gave no frame."""

    codec: str
    encoder: str
    width: int
    height: int
    frames: int
    unchanged: int
    dropped: int
    #: Why it is this encoder; None where there was no choice.
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
    """What became of a recording. `as_json` gives the keys that scripts rely on, in their order."""

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
    #: The file that tells what happened to it, where one was wanted.
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
    """The fields of a record as JSON values, seconds and levels to the millisecond and the thousandth.

    What is None has no key.
    """
    values = {name: getattr(record, name) for name in record.__slots__}
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
    return {name: value for name, value in rounded.items() if value is not None}
