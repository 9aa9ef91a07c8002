"""The verbs that record: record, note, standby, replay."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from capture.cli.controls import under_control
from capture.cli.parser import SELECT, Arguments, Verb
from capture.cli.slim_numpy import slim_numpy
from capture.cli.text import settle, write_json
from capture.errors import OutputError
from capture.events import EventKind

if TYPE_CHECKING:
    from capture.cli.terminal import Terminal
    from capture.desktop.notify import Notifier
    from capture.events import Event, EventSink, Progress, Summary
    from capture.session.session import Session
    from capture.settings.record_settings import RecordSettings
    from capture.triggers.hotkeys import Hotkeys
    from capture.triggers.trigger import Trigger

__all__ = ["VERBS"]

#: Events that end a recording early, and others, that become desktop notifications.
_ENDINGS: Final = (
    EventKind.FAILED,
    EventKind.DISPLAY_LOST,
    EventKind.DISK_FULL,
    EventKind.FILE_GONE,
    EventKind.SIZE_LIMIT,
)
_TROUBLES: Final = (EventKind.CLIP_FAILED, EventKind.DEVICE_LOST, EventKind.NOT_BEGUN)


def _hasten_start() -> Callable[[], None]:
    """Set Python up to import much; return what undoes that.

    Garbage collection would take a tenth of the start. Later it is for new objects only: those that exist by then,
    mostly modules, live until the end.
    """
    from capture.system.memory import hand_back_large_blocks

    hand_back_large_blocks()
    undo_slimming = slim_numpy()
    gc.disable()

    def undo() -> None:
        undo_slimming()
        gc.freeze()
        gc.enable()

    return undo


def _record(arguments: Arguments) -> int:
    on_ready = _hasten_start()
    from capture.cli.after_save import AfterSave, command_after_save
    from capture.cli.options import settings_of
    from capture.config.store import hotkeys as bindings_of
    from capture.config.store import load
    from capture.remote.server import RemoteControl
    from capture.session.session import Session
    from capture.system.library_code import unmap_unused_code
    from capture.triggers.hotkeys import Hotkeys

    config = load()
    after_words = command_after_save(arguments, config)
    settings = settings_of(arguments, config)
    settings.check()
    remote = RemoteControl(settings.name)
    triggers: list[Trigger] = []
    bindings = bindings_of(config) if arguments.hotkeys else {}
    hotkeys = None
    if bindings or settings.hold is not None:
        hotkeys = Hotkeys(bindings, settings.hold, lambda kind, detail: _report_keys(session, kind, detail))
        triggers.append(hotkeys)
    if arguments.verb == "replay" and arguments.duration is not None:
        from capture.parsing import parse_time
        from capture.triggers.deadline import Deadline

        triggers.append(Deadline(parse_time(arguments.duration)))
    keys = partial(_keys, settings, hotkeys)
    terminal = terminal_of(arguments, keys if hotkeys is not None and hotkeys.by_portal else keys())
    for note in config.notes:
        terminal.say(note)
    for what in ("region", "window"):
        if getattr(arguments, what, None) == SELECT:
            from capture.sources.chooser import pick

            settings = pick(settings, what, terminal.say)
    notifier = None
    # Someone who presses a hotkey is not looking at this terminal.
    by_hotkey = settings.standby or settings.replay_s is not None or settings.hold is not None
    if config.notifies and (by_hotkey or not arguments.quiet):
        from capture.desktop.notify import Notifier

        notifier = Notifier()

    def complain(line: str) -> None:
        terminal.complain(f"capture: {line}")
        if notifier is not None:
            notifier.announce("capture", line)

    after = AfterSave.of(after_words, config, complain, retries=settings.standby)
    session = Session(
        settings,
        emit=after.before(_announcing(terminal, notifier, settings, by_hotkey=by_hotkey)),
        triggers=triggers,
        observers=[remote],
        on_ready=on_ready,
        on_loaded=unmap_unused_code,
        progress_interval_s=terminal.progress_interval_s,
    )
    try:
        with under_control(session, remote, terminal, ends_process=arguments.ends_process):
            exit_code = conclude(arguments, terminal, session, session.run(), {})
    finally:
        after.close((*session.summaries, *session.clips))
        if notifier is not None:
            notifier.close()
    return end_process(arguments, exit_code)


def _announcing(
    terminal: Terminal, notifier: Notifier | None, settings: RecordSettings, *, by_hotkey: bool
) -> EventSink:
    """Return a sink that sends events to the terminal, and those for a user who looks elsewhere to the desktop as well.

    These are saved files, failures, and with `by_hotkey` also other troubles and beginnings that the user did not type
    here. A notification would be in the picture of the screen, so the beginning of one is not notified.
    """
    if notifier is None:
        return terminal
    notifies_begin = by_hotkey and settings.waits and not settings.wants_video
    notified = (*_ENDINGS, *_TROUBLES) if by_hotkey else _ENDINGS
    from capture.cli.terminal import as_clock, as_size
    from capture.events import Event, Summary

    def report(event: Event | Progress | Summary) -> None:
        terminal(event)
        if isinstance(event, Summary):
            what = "Clip saved" if event.stopped_by == "clip" else "Recording saved"
            body = f"{event.path}  {as_clock(event.duration_s)}  {as_size(event.size_bytes)}"
            if event.check != "ok":
                body += f"\nThe check found: {event.check}"
            notifier.announce_saved(what, body, event.path)
        elif isinstance(event, Event) and event.kind == EventKind.BEGUN and notifies_begin:
            notifier.announce("Recording", event.detail)
        elif isinstance(event, Event) and event.kind in notified:
            notifier.announce("capture", event.detail)

    return report


def _keys(settings: RecordSettings, hotkeys: Hotkeys | None) -> str:
    """Return the hint about keys in the live line, with the keys that work."""
    from capture.events import Command

    keys = {} if hotkeys is None else hotkeys.keys
    record, clip = keys.get(Command.TOGGLE), keys.get(Command.CLIP)
    clips = f"{clip} saves a clip, " if clip and settings.replay_s is not None else ""
    if not settings.standby:
        return f"{clips}{record} or Ctrl+C stops" if record else f"{clips}Ctrl+C stops"
    hold = f"hold {hotkeys.hold_key} to record, " if hotkeys is not None and hotkeys.hold_key else ""
    return f"{clips}{hold or (f'{record} records, ' if record else '')}Ctrl+C quits"


def _report_keys(session: Session, kind: EventKind, detail: str) -> None:
    """Record an event about hotkeys on Wayland, unless the user has bound keys in the desktop's settings instead."""
    if kind == EventKind.NO_HOTKEYS:
        from capture.desktop.key_bindings import are_bound

        if are_bound(os.environ):
            return
    session.record_event(kind, detail)


def _note(arguments: Arguments) -> int:
    """Record with the defaults of a voice note."""
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
    """End the process at once if it is ours to end; otherwise return `exit_code`.

    Python's own exit takes apart everything that was loaded, which takes 0.05 s, and then waits for a thread that
    hangs, or crashes with one that is still running.
    """
    if arguments.ends_process:
        settle()
        os._exit(exit_code)
    return exit_code


def terminal_of(arguments: Arguments, keys: str | Callable[[], str]) -> Terminal:
    from capture.cli.terminal import Terminal

    return Terminal(keys, quiet=arguments.quiet)


def conclude(
    arguments: Arguments, terminal: Terminal, session: Session, summary: Summary | None, more: dict[str, Any]
) -> int:
    """Print the result of the recording and return the exit code; `more` is added to the JSON."""
    terminal.end()
    unwritten: OutputError | None = None
    if arguments.json:
        nothing = {"path": None, "stopped_by": "discard" if session.error is None else session.error.stopped_by}
        found: dict[str, Any] = nothing if summary is None else summary.as_json()
        if session.settings.records_several:
            found = {"recordings": [each.as_json() for each in session.summaries]}
        try:
            write_json(found | more)
        except OutputError as error:
            # The recording is what counts: say first what became of it.
            unwritten = error
    exit_code = _concluded(terminal, session, summary)
    if unwritten is not None:
        terminal.complain(f"capture: {unwritten}")
        return exit_code or unwritten.exit_code
    return exit_code


def _concluded(terminal: Terminal, session: Session, summary: Summary | None) -> int:
    """Say what went wrong, if anything did, and return the exit code."""
    if not session.summaries and session.error is None:
        if not session.settings.standby:
            terminal.say("nothing was kept")
        return 0
    if session.error is not None:
        kept = f"; what was recorded until then is in {summary.path}" if summary and summary.size_bytes else ""
        terminal.complain(f"capture: {session.error}{kept}")
        return session.error.exit_code
    return 0 if all(each.check == "ok" for each in session.summaries) else 1


VERBS: Final[dict[str, Verb]] = {
    "record": _record,
    "note": _note,
    "standby": _record,
    "replay": _record,
}
