"""The command line: what each verb does, what it prints, and its exit code. No recording logic lives here.

Whatever a verb needs is imported when it runs, so that `capture --help` answers at once.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import shlex
import string
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from capture.arguments import SELECT, Arguments, before_command, parse, settings_of
from capture.errors import CaptureError, NotReadyError, RecordingError, UsageError

if TYPE_CHECKING:
    from capture.desktop.notify import Notifier
    from capture.desktop.virtual import VirtualDesk
    from capture.events import Event, EventSink, Progress, Send, Summary
    from capture.session import Session, Trigger
    from capture.settings import RecordSettings
    from capture.terminal import Terminal
    from capture.triggers.remote import RemoteControl

__all__ = ["main"]

#: What the desktop is told of, where nobody looks at the terminal.
_SHOWN: Final = ("clip_failed", "failed", "device_lost", "display_lost", "disk_full", "file_gone", "not_begun")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `argv` (default: the process's) and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A device or a file may be called what the terminal's encoding cannot write.
        sys.stdout.reconfigure(errors="backslashreplace")
    debug = "--debug" in before_command(given)
    try:
        arguments = parse(given)
        arguments.ends_process = argv is None
        exit_code = _VERBS[arguments.verb](arguments)
        sys.stdout.flush()
    except CaptureError as error:
        return _fail(str(error), error.exit_code, debug)
    except BrokenPipeError:
        # Whoever read our output has gone, as after `| head`; nothing can be said to it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _fail("interrupted", 1, debug)
    except Exception as error:
        return _fail(
            f"an error that should not happen ({type(error).__name__}: {error}): --debug shows where", 1, debug
        )
    finally:
        # Whatever became of what was begun.
        gc.enable()
    return exit_code


def _fail(message: str, exit_code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"capture: {_printable(message)}", file=sys.stderr)
    return exit_code


def _load_numpy() -> None:
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
    _load_numpy()
    from capture.config import hotkeys, load
    from capture.session import Session
    from capture.triggers.hotkeys import Hotkeys
    from capture.triggers.remote import RemoteControl
    from capture.triggers.signals import Signals

    config = load()
    settings = settings_of(arguments, config)
    settings.check()
    remote = RemoteControl(settings.name)
    triggers: list[Trigger] = [remote]
    if arguments.hotkeys or settings.hold is not None:
        triggers.append(Hotkeys(hotkeys(config) if arguments.hotkeys else {}, settings.hold))
    terminal = _terminal(arguments, _keys(settings, arguments.hotkeys))
    for what in ("region", "window"):
        if getattr(arguments, what, None) == SELECT:
            from capture.sources.chooser import point_out

            settings = point_out(settings, what, terminal.say)
    notifier = None
    if settings.standby or settings.replay_s is not None:
        from capture.desktop.notify import Notifier

        # Where keys are pressed nobody looks at this terminal.
        notifier = Notifier()
    session = Session(
        settings,
        emit=_announcing(terminal, notifier),
        triggers=triggers,
        on_ready=_collect_garbage_from_here,
        progress_interval_s=terminal.progress_interval_s,
    )
    signals = Signals()
    signals.start(session.send)
    try:
        # Without a remote control it is recorded all the same, and said.
        with suppress(NotReadyError):
            remote.start(session.send)
            _tell_leftovers(remote, terminal)
        exit_code = _conclude(arguments, terminal, session, session.run(), {})
    finally:
        if notifier is not None:
            notifier.close()
        remote.stop()
        signals.stop(ignoring=arguments.ends_process)
    return _ended(arguments, exit_code)


def _tell_leftovers(remote: RemoteControl, terminal: Terminal) -> None:
    """Name what recorders left that crashed, as far as it is there still."""
    for path in remote.left_recordings:
        if os.path.lexists(path):
            terminal.say(
                f"a recorder that did not end by itself left {path}: capture repair {_as_argument(path)} makes it whole"
            )


def _as_argument(path: str) -> str:
    """A path as it can be typed into a shell, whatever it is made of."""
    if path.isprintable():
        return shlex.quote(path)
    plain = {ord(char) for char in string.digits + string.ascii_letters + "/._- "}
    return "$'" + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path)) + "'"


def _announcing(terminal: Terminal, notifier: Notifier | None) -> EventSink:
    """What tells events on the terminal, and what became of files on the desktop as well."""
    if notifier is None:
        return terminal
    from capture.events import Event, Summary
    from capture.terminal import as_clock, as_size

    def tell(event: Event | Progress | Summary) -> None:
        terminal(event)
        if isinstance(event, Summary):
            what = "Clip saved" if event.stopped_by == "clip" else "Recording saved"
            notifier.announce(what, f"{event.path}  {as_clock(event.duration_s)}  {as_size(event.size_bytes)}")
        elif isinstance(event, Event) and event.kind in _SHOWN:
            notifier.announce("capture", event.detail)

    return tell


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

    from capture.settings import container_of

    by_sound = arguments.hold is None
    if arguments.wait_for_sound is None:
        arguments.wait_for_sound = by_sound
    if arguments.stop_after_silence is None and by_sound:
        arguments.stop_after_silence = "2s"
    if arguments.voice is None:
        arguments.voice = arguments.output is None or container_of(Path(arguments.output)).audio_codec == "opus"
    return _record(arguments)


def _headless(arguments: Arguments) -> int:
    _load_numpy()
    from capture.config import load
    from capture.desktop.virtual import VirtualDesk
    from capture.session import Session
    from capture.settings import parse_geometry
    from capture.triggers.remote import RemoteControl
    from capture.triggers.signals import Signals

    if not arguments.command:
        raise UsageError("headless has no command to run", "write it behind --, as in capture headless -- glxgears")
    settings = settings_of(arguments, load())
    settings.check()
    width, height = parse_geometry(arguments.size)
    terminal = _terminal(arguments, "Ctrl+C stops")
    desk = VirtualDesk(width, height)
    program = _Program(desk, arguments.command)
    # The user's own, not the desk's: it is from there that the orders come.
    remote = RemoteControl(settings.name)
    session = Session(
        settings,
        emit=terminal,
        triggers=[remote],
        on_ready=lambda: program.start(session.send),
        progress_interval_s=terminal.progress_interval_s,
    )
    signals = Signals()
    signals.start(session.send)
    try:
        with suppress(NotReadyError):
            remote.start(session.send)
            _tell_leftovers(remote, terminal)
        with desk, _on_desk(desk):
            summary = session.run()
            exit_code = _conclude(arguments, terminal, session, summary, {"exit_code": program.exit_code()})
    finally:
        remote.stop()
        signals.stop(ignoring=arguments.ends_process)
    return _ended(arguments, exit_code)


def _ended(arguments: Arguments, exit_code: int) -> int:
    """End the process at once: Python would first take apart all that was loaded, which takes a twentieth of a second,
    and wait for a thread that hangs, or crash with one that goes on.
    """
    if arguments.ends_process:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    return exit_code


@contextmanager
def _on_desk(desk: VirtualDesk) -> Iterator[None]:
    """Let this process's sources find the desk where they would find the user's."""
    before = dict(os.environ)
    wanted = desk.environment_of(before)
    try:
        os.environ.clear()
        os.environ.update(wanted)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Program:
    """The command of `headless`, whose end stops the recording."""

    def __init__(self, desk: VirtualDesk, command: Sequence[str]) -> None:
        self._desk = desk
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, send: Send) -> None:
        from capture.events import Command

        # Standard output is kept for the JSON.
        process = self._process = self._desk.run(self._command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno())

        def watch() -> None:
            process.wait()
            send(Command.QUIT, "command_ended")

        threading.Thread(target=watch, name="command", daemon=True).start()

    def exit_code(self) -> int | None:
        """What the command ended with; None while it runs, that is, when the recording was stopped before."""
        return None if self._process is None else self._process.poll()


def _terminal(arguments: Arguments, keys: str) -> Terminal:
    from capture.terminal import Terminal

    return Terminal(keys, quiet=arguments.quiet)


def _conclude(
    arguments: Arguments, terminal: Terminal, session: Session, summary: Summary | None, more: dict[str, Any]
) -> int:
    """Print what became of the recording and return the exit code."""
    terminal.end()
    if arguments.json:
        nothing = {"path": None, "stopped_by": "discard" if session.error is None else session.error.stopped_by}
        found: dict[str, Any] = nothing if summary is None else summary.as_json()
        if session.settings.each or session.settings.standby:
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


def _clip(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.settings import CLIP_FORMATS, ClipOrder, check_output, container_of, parse_size, parse_time

    output = None if arguments.output is None else Path(arguments.output)
    form = arguments.format
    if form is not None and form not in CLIP_FORMATS:
        raise UsageError(f"{form!r} is no format for a clip", f"use one of {', '.join(CLIP_FORMATS)}")
    if output is not None:
        ending = output.suffix[1:].lower()
        if form is not None and ending != form:
            raise UsageError(f"{output} does not end in .{form}", "drop --format, or name the clip accordingly")
        if ending not in CLIP_FORMATS:
            container_of(output)
        check_output(output, overwrite=False)
    order = ClipOrder(
        output,
        None if arguments.last is None else parse_time(arguments.last),
        arguments.exact,
        form,
        None if arguments.max_size is None else parse_size(arguments.max_size),
        arguments.ledger,
    )
    return _saved(arguments, _order(arguments, options=order.as_options()))


def _devices(arguments: Arguments) -> int:
    from capture.desktop.devices import describe_devices

    found, missing = describe_devices()
    if arguments.json:
        print(json.dumps(found))
    else:
        for kind, entries in found.items():
            print(f"{kind}:" + ("" if entries else " none"))
            for entry in entries:
                print("  " + "  ".join(_shown(name, value) for name, value in entry.items()))
    for text in missing:
        print(_printable(f"capture: {text}"), file=sys.stderr)
    return 3 if missing and not any(found.values()) else 0


def _shown(name: str, value: Any) -> str:
    text = f"{name}={value}" if not isinstance(value, bool) else (name if value else f"not {name}")
    return _printable(text)


def _doctor(arguments: Arguments) -> int:
    from capture.desktop.doctor import diagnose

    diagnosis = diagnose()
    if arguments.json:
        print(json.dumps(diagnosis.as_json()))
    else:
        for item in diagnosis.checks:
            print(_printable(f"{'ok ' if item.ok else 'NO '} {item.name}: {item.found}"))
            if item.remedy:
                print(_printable(f"    → {item.remedy}"))
        print("ready to record" if diagnosis.ready else "not ready to record")
    return 0 if diagnosis.ready else 3


def _check(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.recordings.check import check

    report = check(Path(arguments.file))
    if arguments.json:
        print(json.dumps(report.as_json()))
    else:
        for stream in report.streams:
            silent = "  silent" if stream.silent else ""
            end_s = stream.start_s + stream.duration_s
            print(f"{stream.kind}  {stream.codec}  {stream.start_s:.3f} s to {end_s:.3f} s{silent}")
        for problem in report.problems:
            print(_printable(f"problem: {problem}"))
        print("ok" if report.ok else "not ok")
    return 0 if report.ok else 1


# --- Verbs for a recorder that runs elsewhere


def _status(arguments: Arguments) -> int:
    from capture.triggers.client import none_running, running

    everyone = running()
    found = [recorder for recorder in everyone if arguments.name in (None, recorder["name"])]
    if arguments.json:
        print(json.dumps({"running": [_as_status(recorder) for recorder in found]}))
        return 0
    if not found:
        raise none_running(arguments.name, ", ".join(recorder["name"] for recorder in everyone))
    for recorder in found:
        _tell(
            arguments,
            "  ".join(
                [recorder["name"], str(recorder.get("state")), *_measures(recorder), str(recorder.get("path") or "")]
            ).rstrip(),
        )
    return 0


#: The keys of a recorder in the JSON of `status` that scripts rely on; what is not known or not there is null.
_STATUS_KEYS = ("name", "state", "path", "elapsed_s", "size_bytes", "buffer_s", "buffer_bytes", "pid")


def _as_status(recorder: dict[str, Any]) -> dict[str, Any]:
    more = {key: value for key, value in recorder.items() if key != "ok"}
    return {key: recorder.get(key) for key in _STATUS_KEYS} | more


def _stop(arguments: Arguments) -> int:
    answer = _order(arguments)
    if answer.get("path"):
        return _saved(arguments, answer)
    _tell(arguments, "it waits no more" if answer.get("state") in ("armed", "standby") else "nothing was kept")
    return 0


def _saved(arguments: Arguments, answer: dict[str, Any]) -> int:
    """Say where a recorder has saved a file, and what it found in it."""
    _tell(arguments, "  ".join([f"saved {answer['path']}", *_measures(answer)]))
    if answer.get("note"):
        _tell(arguments, str(answer["note"]))
    if answer.get("check", "ok") != "ok":
        return _fail(f"the check found: {answer['check']}", 1, arguments.debug)
    return 0


def _change(arguments: Arguments) -> int:
    answer = _order(arguments)
    state = str(answer.get("state"))
    _tell(arguments, f"{'resumed' if arguments.verb == 'resume' else state}{_at(answer)}")
    return 0


def _discard(arguments: Arguments) -> int:
    answer = _order(arguments)
    _tell(arguments, f"{answer['discarded']} is gone" if answer.get("discarded") else "it waits no more")
    return 0


def _mark(arguments: Arguments) -> int:
    answer = _order(arguments, arguments.text)
    _tell(arguments, f"marked{_at(answer)}  {arguments.text}".rstrip())
    return 0


def _preview(arguments: Arguments) -> int:
    _order(arguments)
    _tell(arguments, "playing what was recorded so far")
    return 0


def _order(arguments: Arguments, text: str = "", options: dict[str, Any] | None = None) -> dict[str, Any]:
    """Give the recorder the order that the verb is, and print its answer where JSON is wanted."""
    from capture.triggers.client import ask

    answer = ask(arguments.verb, name=arguments.name, text=text, options=options)
    if arguments.json:
        print(json.dumps(answer))
    return answer


def _tell(arguments: Arguments, line: str) -> None:
    if not (arguments.json or arguments.quiet):
        print(_printable(line))


def _measures(answer: dict[str, Any]) -> list[str]:
    """How long and how large, as far as the recorder told."""
    # After the order was given: it takes longer to load than that.
    from capture.terminal import as_clock, as_size

    elapsed_s, size_bytes = answer.get("duration_s", answer.get("elapsed_s")), answer.get("size_bytes")
    lengths = [] if elapsed_s is None else [as_clock(elapsed_s)]
    return lengths if size_bytes is None else [*lengths, as_size(size_bytes)]


def _at(answer: dict[str, Any]) -> str:
    from capture.terminal import as_clock

    return "" if answer.get("elapsed_s") is None else f" at {as_clock(answer['elapsed_s'])}"


def _repair(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.recordings.repair import recordings_in, repair
    from capture.terminal import as_clock

    path = Path(arguments.path)
    output = None if arguments.output is None else Path(arguments.output)
    if path.is_dir() and output is not None:
        raise UsageError(f"{path} is a folder, and --output names one file", "repair its files one by one")
    found: list[dict[str, Any]] = []
    for each in recordings_in(path) if path.is_dir() else [path]:
        try:
            done = repair(each, output)
        except RecordingError as error:
            found.append({"path": str(each), "repaired": False, "ok": False, "error": str(error)})
            print(f"capture: {_printable(str(error))}", file=sys.stderr)
            continue
        found.append(done.as_json())
        what = f"repaired, {as_clock(done.after.duration_s)}" if done.was_needed else "whole already"
        _tell(arguments, f"{done.path}: {what}")
    if arguments.json:
        print(json.dumps({"files": found}))
    return 0 if all(each["ok"] for each in found) else 1


# --- The user's settings


def _config(arguments: Arguments) -> int:
    from capture.config import SETTINGS, as_typed, change, load, unset

    name, values = arguments.setting, arguments.values
    if arguments.unset and (name in (None, "autostart") or values):
        raise UsageError("--unset takes the name of one setting, and no value", "see capture config --help")
    if name == "autostart":
        return _autostart(arguments)
    names = list(SETTINGS) if name is None else [name]
    if values:
        config = change(name, values)
    elif arguments.unset:
        config = unset(name)
        # One that does not exist can be taken out of the file all the same.
        names = [name] if name in SETTINGS else []
    else:
        config = load()
    found = config.as_json(names)
    if arguments.json:
        print(json.dumps(found))
    elif name is None:
        print(_printable(f"{config.path}{'' if config.path.exists() else ' (not there: all are defaults)'}"))
        for each, value in found["settings"].items():
            origin = "chosen " if each in config.chosen else "default"
            print(_printable(f"  {each:19} {origin} {as_typed(value) or 'none':16} {SETTINGS[each].about}"))
    elif not names:
        _tell(arguments, f"{name} is gone from the file")
    elif values or arguments.unset:
        _tell(arguments, f"{name} is {as_typed(found['settings'][name]) or 'none'}")
    else:
        # For scripts: a line for each, and nothing where there is none.
        print(as_typed(found["settings"][name], between="\n"))
    return 0


def _autostart(arguments: Arguments) -> int:
    from capture.config import load
    from capture.desktop.autostart import autostart_of_this_system, own_command

    order = " ".join(arguments.values) or "status"
    if order not in ("on", "off", "status"):
        raise UsageError(f"autostart cannot be {order!r}", "use on, off or status")
    autostart = autostart_of_this_system()
    if order == "on":
        autostart.install([*own_command(), load().autostart_verb])
    elif order == "off":
        autostart.remove()
    entry = autostart.installed()
    if arguments.json:
        print(json.dumps({"autostart": {"installed": False} if entry is None else entry.as_json()}))
    elif entry is None:
        _tell(arguments, "off: nothing begins with the session")
    else:
        trouble = f"  but {entry.trouble}" if entry.trouble else ""
        _tell(arguments, f"on: {' '.join(entry.command)} begins with the session ({entry.place}){trouble}")
    return 1 if entry is not None and entry.trouble else 0


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


_VERBS: Final[dict[str, Callable[[Arguments], int]]] = {
    "record": _record,
    "note": _note,
    "standby": _record,
    "replay": _record,
    "headless": _headless,
    "devices": _devices,
    "doctor": _doctor,
    "check": _check,
    "repair": _repair,
    "status": _status,
    "stop": _stop,
    "pause": _change,
    "resume": _change,
    "toggle": _change,
    "discard": _discard,
    "mark": _mark,
    "preview": _preview,
    "clip": _clip,
    "config": _config,
}


if __name__ == "__main__":
    raise SystemExit(main())
