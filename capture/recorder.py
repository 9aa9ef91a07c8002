"""The Python interface: `record` a file, or record with a `Recorder` while a block of your own code runs.

::

    summary = capture.record("talk.mp4", duration_s=60)

    with capture.Recorder("talk.mp4", audio=["internal", "mic"]) as recorder:
        ...
        recorder.mark("the interesting part")
    print(recorder.summary)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from capture.errors import CaptureError, RecordingError, UsageError
from capture.events import Command, Event, Progress, State, Summary
from capture.session.session import Session
from capture.settings.clip_order import ClipOrder
from capture.settings.record_settings import RecordSettings

if TYPE_CHECKING:
    from typing import Unpack

    from capture.settings.record_settings import SettingOptions
    from capture.sources.chooser import Sources

__all__ = ["Recorder", "record"]

#: The `stopped_by` of a recording that the calling program ended.
_BY_PROGRAM: Final = "program"

#: How often a thread that waits for the session checks for Ctrl+C. Windows delivers it only between waits.
_LOOK_S: Final = 0.2


def record(
    output: str | PathLike[str], *, sources: Sources | None = None, **settings: Unpack[SettingOptions]
) -> Summary:
    """Record into `output` until `duration_s`, silence or another setting ends it; return its summary.

    `settings` are the fields of `RecordSettings`. Blocks the calling thread. Raises `UsageError` and `NotReadyError`
    before anything is touched, and the `RecordingError` that ended a recording early: its `summary` describes what was
    kept. Ctrl+C, or any other exception raised into this call, finishes the file first.
    """
    session = Session(RecordSettings(output, **settings), sources=sources)  # type: ignore[arg-type]
    summary = session.run()
    _raise_failure(session)
    if summary is None:
        raise RecordingError("nothing was recorded")
    return summary


class Recorder:
    """Records while the block of a `with` statement runs.

    Entering the block returns when the recording has started, or when it waits for its start if the settings say so.
    Leaving the block stops the recording and returns when the file is finished. An exception in the block, Ctrl+C
    included, also finishes the file and then propagates. A recording that failed raises its `RecordingError` at the end
    of the block.

    `settings` are the fields of `RecordSettings`. `on_event` is called with every event, on a separate thread. Any
    thread may call the methods, inside the block.
    """

    def __init__(
        self,
        output: str | PathLike[str],
        *,
        sources: Sources | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        **settings: Unpack[SettingOptions],
    ) -> None:
        self._began = threading.Event()
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._on_event = on_event
        #: The summaries of saved clips.
        self.clips: list[Summary] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recorder")
        self._session = Session(
            RecordSettings(output, **settings),  # type: ignore[arg-type]
            sources=sources,
            emit=self._take_in,
            on_ready=self._began.set,
        )

    @property
    def settings(self) -> RecordSettings:
        return self._session.settings

    @property
    def state(self) -> State:
        return self._session.state

    @property
    def summary(self) -> Summary | None:
        """The summary of the last recording; None before it ends, and when nothing was kept."""
        return self._session.summaries[-1] if self._session.summaries else None

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """The summary of each recording that was kept; with `standby` or `repeat` there may be several."""
        return tuple(self._session.summaries)

    @property
    def elapsed_s(self) -> float:
        """The length of the recording so far, without pauses."""
        return float(self._ask(Command.STATUS)["elapsed_s"])

    def start(self) -> None:
        """Start a recording, if the settings made the recorder wait."""
        self._ask(Command.START)

    def stop(self) -> Summary | None:
        """Stop the recording and return its summary when the file is finished; None when nothing was kept."""
        before = len(self._session.summaries)
        self._ask(Command.STOP)
        return self.summary if len(self._session.summaries) > before else None

    def discard(self) -> None:
        """Stop the recording and delete its file."""
        self._ask(Command.DISCARD)

    def pause(self) -> None:
        """Pause the recording until `resume`."""
        self._ask(Command.PAUSE)

    def resume(self) -> None:
        self._ask(Command.RESUME)

    def mark(self, text: str = "") -> None:
        """Add a chapter mark at this moment."""
        self._ask(Command.MARK, text)

    def save_clip(
        self,
        output: str | PathLike[str] | None = None,
        *,
        last_s: float | None = None,
        exact: bool = False,
        format: str | None = None,
        max_bytes: int | None = None,
        ledger: bool = False,
    ) -> Path:
        """Save the last `last_s` seconds of the replay buffer (default: all of it) and return the path.

        Needs `replay_s` in the settings. Without `output` the name has the date and time. `exact` starts the clip
        exactly there instead of up to two seconds earlier; `format` and `max_bytes` convert it; `ledger` writes its
        events into a file beside it. Raises `UsageError` for an invalid request and `RecordingError` when the clip
        cannot be saved; the buffer stays as it is.
        """
        path = None if output is None else Path(output).absolute()
        order = ClipOrder.of(ClipOrder(path, last_s, exact, format, max_bytes, ledger).as_options())
        return Path(self._ask(Command.CLIP, options=order.as_options(), refused=RecordingError)["path"])

    def events(self) -> Iterator[Event]:
        """Yield the events of the recording until it ends. Only one thread may iterate."""
        while (event := self._events.get()) is not None:
            yield event

    def __iter__(self) -> Iterator[Event]:
        return self.events()

    def __enter__(self) -> Self:
        """Start recording. Raises `UsageError`, `NotReadyError` and `OutputError` when that is not possible."""
        self._thread.start()
        try:
            while self._thread.is_alive() and not self._began.wait(_LOOK_S):
                pass
        except BaseException:
            self._session.send(Command.QUIT, "interrupt")
            self._thread.join()
            raise
        if not self._began.is_set():
            self._thread.join()
            self._raise_error()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.send(Command.QUIT, _BY_PROGRAM if error is None else "interrupt")
        interrupt: KeyboardInterrupt | None = None
        while self._thread.is_alive():
            try:
                self._thread.join(_LOOK_S)
            except KeyboardInterrupt as pressed:
                # As on the command line: the second Ctrl+C warns, the third abandons the file.
                interrupt = pressed
                self._session.send(Command.QUIT, "interrupt")
        if error is None:
            if interrupt is not None:
                raise interrupt
            self._raise_error()

    def _run(self) -> None:
        try:
            self._session.run()
        except BaseException as error:
            self._error = error
        finally:
            self._events.put(None)

    def _take_in(self, event: Event | Progress | Summary) -> None:
        if isinstance(event, Event):
            self._events.put(event)
            self._on_event(event)
        elif isinstance(event, Summary) and event.stopped_by == "clip":
            self.clips.append(event)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
        _raise_failure(self._session)

    def _ask(
        self,
        command: Command,
        text: str = "",
        options: Mapping[str, Any] = MappingProxyType({}),
        refused: type[CaptureError] = UsageError,
    ) -> dict[str, Any]:
        """Send a command and return the answer. Raises `refused` with the reason when the session refuses it."""
        answers: SimpleQueue[dict[str, Any]] = SimpleQueue()
        answered = threading.Event()

        def answer(given: dict[str, Any]) -> None:
            answers.put(given)
            answered.set()

        self._session.send(command, _BY_PROGRAM, text=text, answer=answer, options=options)
        while not answered.wait(_LOOK_S):
            if not self._thread.is_alive() and not answered.is_set():
                raise refused("nothing is being recorded")
        given = answers.get()
        if not given["ok"]:
            raise refused(given["error"])
        return given


def _raise_failure(session: Session) -> None:
    """If an error ended the last recording early, raise it with the summary of what was kept."""
    if session.error is not None:
        session.error.summary = session.summaries[-1] if session.summaries else None
        raise session.error
