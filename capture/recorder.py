"""The face for Python users: `record` a file, or run a `Recorder` while a block of your own code runs.

::

    summary = capture.record("talk.mp4", duration_s=60)

    with capture.Recorder("talk.mp4", audio=["internal", "mic"]) as recorder:
        ...
        recorder.mark("the interesting part")
    print(recorder.summary)
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from capture.errors import CaptureError, RecordingError, UsageError, in_one_line
from capture.events import Command, Event, Progress, State, Summary
from capture.session.session import Session
from capture.settings.clip_order import ClipOrder
from capture.settings.record_settings import RecordSettings
from capture.threads.worker import start_thread

if TYPE_CHECKING:
    from typing import Unpack

    from capture.settings.record_settings import SettingOptions
    from capture.sources.chooser import Sources

__all__ = ["Recorder", "record"]

#: What `stopped_by` says of a recording that the program itself ended.
_BY_PROGRAM: Final = "program"

#: How often a thread that waits looks up, since Windows delivers Ctrl+C only then, and whether the session has ended.
_LOOK_S: Final = 0.2

_ENDED: Final = "nothing is being recorded"

#: An option of the command line in a remedy, and its value, if it has one: other words in lower case belong to the
#: sentence.
_OPTION: Final = re.compile(r"(give )?--([a-z]+(?:-[a-z]+)*)(?: (none|[A-Z0-9][^\s,;]*))?")


def record(
    output: str | os.PathLike[str], *, sources: Sources | None = None, **settings: Unpack[SettingOptions]
) -> Summary:
    """Record into `output` until `duration_s`, silence or another setting ends it; return its summary.

    `settings` are the fields of `RecordSettings`. Blocks the calling thread. Raises `UsageError` and `NotReadyError`
    before anything is touched, and the `RecordingError` that ended a recording early: its `summary` describes what was
    kept. Ctrl+C, or any other exception raised into this call, first finishes the file.
    """
    with Recorder(output, sources=sources, **settings) as recorder:
        recorder.wait()
    if recorder.summary is None:
        raise RecordingError("nothing was recorded")
    return recorder.summary


class Recorder:
    """Records while the block of a `with` statement runs.

    Entering starts the recording and returns when it has begun, or waits for what begins it where the settings say so.
    Leaving stops it and returns when the file is finished; an exception in the block, Ctrl+C included, finishes the
    file first and then goes on. A recording that failed raises its `RecordingError` at the end of the block. When
    another exception leaves the block already, a note of that exception names the failure.

    `settings` are the fields of `RecordSettings`. `on_event` is called with every event, on a thread of its own; when
    it raises, it is not called again, the recording goes on, and the end of the block raises what it raised. All
    methods may be called from any thread inside the block. A recorder records once.

    A program that ends without leaving the block finishes the file first.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        *,
        sources: Sources | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        **settings: Unpack[SettingOptions],
    ) -> None:
        self._has_begun = False
        # Set when it has begun, or has ended before.
        self._settled = threading.Event()
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._on_event: Callable[[Event], None] | None = on_event
        self._listener_error: BaseException | None = None
        self._error: BaseException | None = None
        # The thread that entered the block, and whether it ended without leaving it.
        self._owner: threading.Thread | None = None
        self._is_abandoned = False
        self._process = 0
        self._ended = threading.Event()
        # No daemon: the program waits for its file.
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=False)
        self._session = Session(
            RecordSettings(output, **settings),  # type: ignore[arg-type]
            sources=sources,
            emit=self._take_in,
            on_ready=self._begin,
        )

    @property
    def settings(self) -> RecordSettings:
        """The settings, with full paths."""
        return self._session.settings

    @property
    def state(self) -> State:
        return self._session.state

    @property
    def summary(self) -> Summary | None:
        """The summary of the last recording; None before its end, and when nothing was kept."""
        return self._session.summaries[-1] if self._session.summaries else None

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """One for every recording that was kept: with `standby` or `repeat` there are several."""
        return tuple(self._session.summaries)

    @property
    def clips(self) -> tuple[Summary, ...]:
        """One for every clip that was saved."""
        return tuple(self._session.clips)

    @property
    def elapsed_s(self) -> float:
        """How much has been recorded, pauses left out; after the end, the length of the last recording."""
        given = self._send(Command.STATUS) if self._is_running() else {}
        return float(given.get("elapsed_s", 0.0 if self.summary is None else self.summary.duration_s))

    def start(self) -> None:
        """Begin a recording, where the settings made the recorder wait."""
        self._ask(Command.START)

    def stop(self) -> Summary | None:
        """End the recording, and return its summary once the file is finished; None when nothing was kept.

        One that has just ended by itself is returned too. While the recorder waits, this ends the wait.
        """
        before = len(self._session.summaries) if self.settings.records_several else 0
        if not self._send(Command.STOP)["ok"]:
            self._raise_what_ended_it()
        return self.summary if len(self._session.summaries) > before else None

    def wait(self) -> None:
        """Wait until everything is recorded, as after `duration_s`. Raises nothing of what ended it."""
        while self._is_running():
            self._ended.wait(_LOOK_S)

    def discard(self) -> None:
        """End the recording and remove its file."""
        self._ask(Command.DISCARD)

    def pause(self) -> None:
        """Leave out everything from now on, until `resume`."""
        self._ask(Command.PAUSE)

    def resume(self) -> None:
        self._ask(Command.RESUME)

    def mark(self, text: str = "") -> None:
        """Add a chapter mark at this moment."""
        self._ask(Command.MARK, text)

    def save_clip(
        self,
        output: str | os.PathLike[str] | None = None,
        *,
        last_s: float | None = None,
        exact: bool = False,
        format: str | None = None,
        max_bytes: int | None = None,
        ledger: bool = False,
    ) -> Path:
        """Save the last `last_s` seconds of the replay buffer (default: all of it); return where.

        Needs `replay_s` in the settings. Without `output` the clip gets a dated name. `exact` begins it at that very
        moment instead of up to two seconds before; `format` and `max_bytes` convert it, `ledger` writes down beside it
        what happened. Raises `UsageError` for a request that is invalid and `RecordingError` when it cannot be saved;
        the buffer keeps what it holds.
        """
        if self.settings.replay_s is None:
            raise UsageError("this recorder keeps no replay buffer", "give it replay_s=60")
        path = None if output is None else Path(output).absolute()
        order = ClipOrder.of(ClipOrder(path, last_s, exact, format, max_bytes, ledger).as_options())
        return Path(self._ask(Command.CLIP, options=order.as_options(), refused=RecordingError)["path"])

    def events(self) -> Iterator[Event]:
        """Yield what happens to the recording, from its beginning to its end; each event is yielded once."""
        self._check_entered()
        while True:
            is_running = self._is_running()
            try:
                event = self._events.get(timeout=_LOOK_S if is_running else 0.0)
            except Empty:
                if not is_running:
                    return
            else:
                yield event

    def __iter__(self) -> Iterator[Event]:
        return self.events()

    def __enter__(self) -> Self:
        """Start recording. Raises `UsageError`, `NotReadyError` and `OutputError` when that is not possible."""
        if self._owner is not None:
            raise UsageError("this recorder has been used already", "make a new Recorder for every recording")
        self._owner, self._process = threading.current_thread(), os.getpid()
        try:
            start_thread(self._thread)
            while not self._settled.wait(_LOOK_S):
                pass
        except BaseException:
            self._end("interrupt")
            raise
        if not self._has_begun:
            self._end(_BY_PROGRAM)
            self._raise_what_ended_it()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupt = self._end(_BY_PROGRAM if error is None else "interrupt")
        if error is not None:
            failure = self._error or self._session.error or self._listener_error
            if failure not in (None, error):
                error.add_note(f"the recording failed too: {in_one_line(failure)}")
            return
        if interrupt is not None:
            raise interrupt
        self._raise_what_ended_it()
        if self._listener_error is not None:
            raise self._listener_error

    def _run(self) -> None:
        try:
            self._session.run()
        except BaseException as error:
            self._error = error
        finally:
            for failure in (self._error, self._session.error):
                if isinstance(failure, CaptureError):
                    failure.remedy = _as_keywords(failure.remedy)
            self._ended.set()
            self._settled.set()

    def _begin(self) -> None:
        self._has_begun = True
        self._settled.set()

    def _end(self, given_by: str) -> BaseException | None:
        """End the session and wait for its file. Return what was raised into this thread meanwhile, Ctrl+C above all.

        As in the command line a second Ctrl+C is taken for impatience, and the third abandons the file.
        """
        raised: BaseException | None = None
        while True:
            try:
                if self._is_running():
                    self._session.send(Command.QUIT, given_by)
                self.wait()
                return raised
            except BaseException as error:
                raised, given_by = error, "interrupt"

    def _take_in(self, event: Event | Progress | Summary) -> None:
        if isinstance(event, Event):
            self._events.put(event)
            try:
                if self._on_event is not None:
                    self._on_event(event)
            except BaseException as error:
                self._on_event, self._listener_error = None, error
        elif isinstance(event, Progress) and not self._is_abandoned and self._has_ended(self._owner):
            # Once: a second request would be one of impatience.
            self._is_abandoned = True
            self._session.send(Command.QUIT, _BY_PROGRAM)

    @staticmethod
    def _has_ended(owner: threading.Thread | None) -> bool:
        """Whether the program has ended, and with it the thread that would leave the block."""
        return not threading.main_thread().is_alive() and (owner is None or owner.daemon or not owner.is_alive())

    def _is_running(self) -> bool:
        """Whether the session runs, in this process: a fork has a copy of the recorder, and not its threads.

        `is_alive` does not say so: up to Python 3.12, Ctrl+C in a `join` marks the thread as stopped.
        """
        return self._thread.ident is not None and not self._ended.is_set() and self._process == os.getpid()

    def _raise_what_ended_it(self) -> None:
        if self._error is not None:
            raise self._error
        if self._session.error is not None:
            raise self._session.error

    def _check_entered(self) -> None:
        if self._owner is None:
            raise UsageError(_ENDED, "use the recorder in a with statement")

    def _ask(
        self,
        command: Command,
        text: str = "",
        options: Mapping[str, Any] = MappingProxyType({}),
        refused: type[CaptureError] = UsageError,
    ) -> dict[str, Any]:
        """Give a command and return the answer.

        Raises the failure that ended the recording before it, `UsageError` for a mistake, and `refused` for any other
        refusal.
        """
        given = self._send(command, text, options)
        if not given["ok"]:
            if not self._is_running():
                self._raise_what_ended_it()
            raise (UsageError if given.get("exit_code") == UsageError.exit_code else refused)(given["error"])
        return given

    def _send(
        self, command: Command, text: str = "", options: Mapping[str, Any] = MappingProxyType({})
    ) -> dict[str, Any]:
        """Give a command and return the answer, also a refusal. Raises `UsageError` before the block."""
        self._check_entered()
        answers: SimpleQueue[dict[str, Any]] = SimpleQueue()
        if self._is_running():
            self._session.send(command, _BY_PROGRAM, text=text, answer=answers.put, options=options)
        while True:
            is_running = self._is_running()
            with suppress(Empty):
                return answers.get(timeout=_LOOK_S if is_running else 0.0)
            if not is_running:
                return {"ok": False, "error": _ENDED}


def _as_keywords(remedy: str) -> str:
    """Return a remedy with keyword arguments in place of the options of the command line: `audio=None`."""
    return _OPTION.sub(_as_keyword, remedy)


def _as_keyword(found: re.Match[str]) -> str:
    give, option, value = found.groups()
    name = f"{give or ''}{option.replace('-', '_')}"
    if value is None:
        return f"{name}=True" if give else name
    return f"{name}={None if value == 'none' else repr(value)}"
