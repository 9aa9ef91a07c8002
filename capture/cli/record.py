"""The verbs that record: record, note, standby, replay."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from capture.cli.controls import under_control
from capture.cli.parser import SELECT, Arguments, Verb
from capture.event_kinds import EventKind

if TYPE_CHECKING:
    from capture.cli.terminal import Terminal
    from capture.desktop.notify import Notifier
    from capture.events import Event, EventSink, Progress, Summary
    from capture.session.session import Session
    from capture.settings import RecordSettings
    from capture.triggers.trigger import Trigger

__all__ = ["VERBS"]

#: What the desktop is told of, where nobody looks at the terminal.
_SHOWN: Final = (
    EventKind.CLIP_FAILED,
    EventKind.FAILED,
    EventKind.DEVICE_LOST,
    EventKind.DISPLAY_LOST,
    EventKind.DISK_FULL,
    EventKind.FILE_GONE,
    EventKind.NOT_BEGUN,
)


def load_numpy() -> None:
    """Import numpy without the threads that it starts for multiplying matrices, which nothing here does.

    One a processor, they spin for a while: 0.1 s of processor time.
    """
    threads = "OPENBLAS_NUM_THREADS"
    if threads not in os.environ:
        os.environ[threads] = "1"
        importlib.import_module("numpy")
        # What a recorder starts is to have them.
        del os.environ[threads]


def _collect_garbage_from_here() -> None:
    """All that is there now stays to the end, modules above all: it is not looked through any more."""
    gc.freeze()
    gc.enable()


def _record(arguments: Arguments) -> int:
    # While everything is loaded it would be looked through again and again: a tenth of the time to start.
    gc.disable()
    load_numpy()
    from capture.cli.options import settings_of
    from capture.config.store import hotkeys, load
    from capture.remote.server import RemoteControl
    from capture.session.session import Session
    from capture.triggers.hotkeys import Hotkeys

    config = load()
    settings = settings_of(arguments, config)
    settings.check()
    remote = RemoteControl(settings.name)
    triggers: list[Trigger] = []
    if arguments.hotkeys or settings.hold is not None:
        triggers.append(Hotkeys(hotkeys(config) if arguments.hotkeys else {}, settings.hold))
    terminal = terminal_of(arguments, _keys(settings, arguments.hotkeys))
    for note in config.notes:
        terminal.say(note)
    for what in ("region", "window"):
        if getattr(arguments, what, None) == SELECT:
            from capture.sources.chooser import pick

            settings = pick(settings, what, terminal.say)
    notifier = None
    if settings.standby or settings.replay_s is not None:
        from capture.desktop.notify import Notifier

        # Where keys are pressed nobody looks at this terminal.
        notifier = Notifier()
    session = Session(
        settings,
        emit=_announcing(terminal, notifier),
        triggers=triggers,
        observers=[remote],
        on_ready=_collect_garbage_from_here,
        progress_interval_s=terminal.progress_interval_s,
    )
    try:
        with under_control(session, remote, terminal, ends_process=arguments.ends_process):
            exit_code = conclude(arguments, terminal, session, session.run(), {})
    finally:
        if notifier is not None:
            notifier.close()
    return end_process(arguments, exit_code)


def _announcing(terminal: Terminal, notifier: Notifier | None) -> EventSink:
    """What tells events on the terminal, and what became of files on the desktop as well."""
    if notifier is None:
        return terminal
    from capture.cli.terminal import as_clock, as_size
    from capture.events import Event, Summary

    def report(event: Event | Progress | Summary) -> None:
        terminal(event)
        if isinstance(event, Summary):
            what = "Clip saved" if event.stopped_by == "clip" else "Recording saved"
            notifier.announce(what, f"{event.path}  {as_clock(event.duration_s)}  {as_size(event.size_bytes)}")
        elif isinstance(event, Event) and event.kind in _SHOWN:
            notifier.announce("capture", event.detail)

    return report


def _keys(settings: RecordSettings, hotkeys: bool) -> str:
    """What to tell people of the keys."""
    if not hotkeys:
        return "Ctrl+C stops"
    clip = "Ctrl+Alt+C saves a clip, " if settings.replay_s is not None else ""
    if settings.standby:
        return f"{clip}Ctrl+Alt+R records, Ctrl+C ends"
    return f"{clip}Ctrl+Alt+R or Ctrl+C stops"


def _note(arguments: Arguments) -> int:
    """`record` with other defaults: what is not said otherwise is what a voice note wants."""
    from pathlib import Path

    from capture.formats import container_of

    by_sound = arguments.hold is None
    if arguments.wait_for_sound is None:
        arguments.wait_for_sound = by_sound
    if arguments.stop_after_silence is None and by_sound:
        arguments.stop_after_silence = "2s"
    if arguments.voice is None:
        arguments.voice = arguments.output is None or container_of(Path(arguments.output)).audio_codec == "opus"
    return _record(arguments)


def end_process(arguments: Arguments, exit_code: int) -> int:
    """End the process at once: Python would first take apart all that was loaded, which takes a twentieth of a second,
    and wait for a thread that hangs, or crash with one that goes on.
    """
    if arguments.ends_process:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    return exit_code


def terminal_of(arguments: Arguments, keys: str) -> Terminal:
    from capture.cli.terminal import Terminal

    return Terminal(keys, quiet=arguments.quiet)


def conclude(
    arguments: Arguments, terminal: Terminal, session: Session, summary: Summary | None, more: dict[str, Any]
) -> int:
    """Print what became of the recording and return the exit code."""
    terminal.end()
    if arguments.json:
        nothing = {"path": None, "stopped_by": "discard" if session.error is None else session.error.stopped_by}
        found: dict[str, Any] = nothing if summary is None else summary.as_json()
        if session.settings.records_several:
            found = {"recordings": [each.as_json() for each in session.summaries]}
        print(json.dumps(found | more))
    if not session.summaries and session.error is None:
        if not session.settings.standby:
            terminal.say("nothing was kept")
        return 0
    if session.error is not None:
        kept = f"; {summary.path} has what was recorded until then" if summary and summary.size_bytes else ""
        terminal.complain(f"capture: {session.error}{kept}")
        return session.error.exit_code
    return 0 if all(each.check == "ok" for each in session.summaries) else 1


VERBS: Final[dict[str, Verb]] = {
    "record": _record,
    "note": _note,
    "standby": _record,
    "replay": _record,
}
