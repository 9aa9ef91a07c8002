"""The command line: arguments in, settings out; printing and exit codes. No recording logic lives here.

Whatever a verb needs is imported when it runs, so that `capture --help` answers at once.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from capture.errors import CaptureError, NotReadyError, UsageError

if TYPE_CHECKING:
    from capture.desktop.virtual import VirtualDesk
    from capture.events import Send, Summary
    from capture.session import Session, Trigger
    from capture.settings import RecordSettings
    from capture.terminal import Terminal

__all__ = ["main"]

Arguments = argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `argv` (default: the process's) and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A device or a file may be called what the terminal's encoding cannot write.
        sys.stdout.reconfigure(errors="backslashreplace")
    debug = "--debug" in _before_command(given)
    try:
        arguments = _parse(given)
        arguments.ends_process = argv is None
        exit_code: int = arguments.run(arguments)
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
    return exit_code


def _fail(message: str, exit_code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    line = "".join(char if char.isprintable() else "?" for char in message)
    print(f"capture: {line}", file=sys.stderr)
    return exit_code


# --- Arguments


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as the rest of the program does: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see {self.prog} --help")


def _before_command(given: Sequence[str]) -> Sequence[str]:
    """The part of the line that is ours: what stands behind `--` belongs to the command of `headless`."""
    return given[: given.index("--")] if "--" in given else given


def _parse(given: list[str]) -> Arguments:
    own = _with_levels_joined(_before_command(given))
    # As defaults of the parser they would undo a flag that stands before the verb.
    arguments = _parser().parse_args(own, Arguments(json=False, quiet=False, debug=False))
    arguments.command = given[len(_before_command(given)) + 1 :]
    if arguments.command and arguments.verb != "headless":
        raise UsageError(f"{arguments.command[0]!r} stands behind --", "only headless runs a command")
    return arguments


def _with_levels_joined(own: Sequence[str]) -> list[str]:
    """The line with `--loudness -16LUFS` as one word: argparse takes what begins with a minus for another option."""
    joined: list[str] = []
    for word in own:
        if joined and joined[-1] in ("--loudness", "--sound-threshold"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _parser() -> _Parser:
    everywhere = _Parser(add_help=False)
    for flag, text in (
        ("--json", "print one JSON object on standard output, everything else on standard error"),
        ("--quiet", "say nothing but what goes wrong"),
        ("--debug", "show where an error came from"),
    ):
        everywhere.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=text)
    parser = _Parser(
        prog="capture",
        description="Record the screen and what the computer is playing.",
        epilog="capture VERB --help tells more of each.",
        parents=[everywhere],
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    record = verbs.add_parser("record", parents=[everywhere], help="record until stopped", description=_RECORD)
    _add_output(record)
    _add_picture_options(record)
    _add_sound_options(record)
    _add_recording_options(record)
    _add_control_options(record)
    record.set_defaults(run=_record)

    note = verbs.add_parser(
        "note", parents=[everywhere], help="record a voice note, from its first word to its last", description=_NOTE
    )
    _add_output(note)
    _add_sound_options(note)
    _add_recording_options(note)
    _add_control_options(note)
    note.set_defaults(run=_note, **_NO_PICTURE)

    headless = verbs.add_parser(
        "headless",
        parents=[everywhere],
        help="run a command on a private virtual desktop and record that",
        description=_HEADLESS,
        usage="capture headless [options] [OUTPUT] -- COMMAND...",
    )
    _add_output(headless)
    _add_picture_options(headless)
    _add_sound_options(headless)
    _add_recording_options(headless)
    headless.add_argument("--name", metavar="NAME", help=_NAME)
    headless.add_argument("--size", metavar="WxH", default="1920x1080", help="the desktop's size (%(default)s)")
    headless.set_defaults(run=_headless)

    for name, run, text in (
        ("devices", _devices, "list what there is to record"),
        ("doctor", _doctor, "tell whether recording will work, and what to do if not"),
    ):
        verbs.add_parser(name, parents=[everywhere], help=text, description=f"{text.capitalize()}.").set_defaults(
            run=run
        )
    check = verbs.add_parser("check", parents=[everywhere], help="open a recording and tell whether it is whole")
    check.add_argument("file", metavar="FILE")
    check.set_defaults(run=_check)
    _add_remote_verbs(verbs, everywhere)
    return parser


_RECORD = (
    "Record the screen and the internal audio until Ctrl+C, Ctrl+Alt+R or --duration. The extension of OUTPUT names "
    "the format: .mp4 .mov .mkv .webm with picture, .ogg .opus .m4a .mp3 .flac .wav for sound alone."
)
_HEADLESS = (
    "Run COMMAND on a virtual desktop with its own screen and sound, which nobody sees or hears, and record it until "
    "it ends. For machines without a screen."
)


_NOTE = (
    "Record sound alone, from when it begins to when it has ended, as messengers write their voice notes (Ogg/Opus). "
    "With --hold it records while a key is held instead."
)
_NAME = "what to call this recorder, when several run"

#: What `note` leaves out of the recording.
_NO_PICTURE = {
    "screen": "none",
    "region": None,
    "scale": None,
    "fps": "30",
    "constant_fps": False,
    "cursor": False,
    "quality": "medium",
    "encoder": "auto",
}


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "output", metavar="OUTPUT", nargs="?", help="the file to make; without it, a dated one in the recordings folder"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")


def _add_picture_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--screen", metavar="WHAT", help="primary (default), a number or name from devices, all, none")
    add("--region", metavar="WxH+X+Y", help="a part of the screen")
    add("--scale", metavar="WxH", help="the size of the recorded picture")
    add("--fps", metavar="N", default="30", help="frames per second at most (%(default)s)")
    add("--constant-fps", action="store_true", help="a frame in every slot, for video editors")
    add("--cursor", action=argparse.BooleanOptionalAction, default=True, help="draw the mouse cursor (default: yes)")
    add("--quality", choices=("low", "medium", "high"), default="medium", help="(%(default)s)")
    add("--encoder", metavar="NAME", default="auto", help="auto, or FFmpeg's name of one")


def _add_sound_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--audio",
        metavar="WHAT",
        action="append",
        help="a track: internal (default), mic, app:NAME for one application, a device's id, none; mix with +, as in "
        "internal+mic; repeatable",
    )
    add(
        "--voice",
        action=argparse.BooleanOptionalAction,
        help="encode as messengers do: Opus, mono, 16 kHz, 24 kb/s (default: for notes)",
    )
    add("--loudness", metavar="LUFS", help="bring the finished recording to this loudness, like -16LUFS")


def _add_recording_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--duration", metavar="T", help="stop after this long: 90, 90s, 1m30s, 1:30")
    add("--delay", metavar="T", help="wait this long before beginning")
    add(
        "--wait-for-sound",
        action=argparse.BooleanOptionalAction,
        help="begin when sound begins, with a moment before it (default: for notes)",
    )
    add(
        "--stop-after-silence",
        metavar="T",
        help="stop when nothing was heard for this long, and cut that off (default: 2s for notes)",
    )
    add("--sound-threshold", metavar="LEVEL", default="-50dB", help="what is louder is sound (%(default)s)")
    add(
        "--source",
        choices=("device", "pattern"),
        default="device",
        help="the devices, or a built-in test picture and tone",
    )


def _add_control_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--each", action="store_true", help="go on with the next recording, each in a file of its own")
    add("--hold", metavar="KEY", help="record while this key is held, like '<ctrl>+<alt>+space'")
    add(
        "--hotkeys",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="Ctrl+Alt+R starts and stops, +P pauses, +X discards, +M marks (default: yes)",
    )
    add("--name", metavar="NAME", help=_NAME)


def _add_remote_verbs(verbs: argparse._SubParsersAction[_Parser], everywhere: _Parser) -> None:
    """The verbs that act on a recorder which runs in another terminal."""
    for name, run, text, more in (
        (
            "status",
            _status,
            "tell which recorders run, and how far they are",
            " When none runs the exit code is 1; with --json it is 0, and the list is empty.",
        ),
        ("stop", _stop, "end the recording and finish its file", " Returns when the file is finished."),
        ("pause", _change, "leave out what comes now", ""),
        ("resume", _change, "record again after a pause", ""),
        ("toggle", _change, "pause, or resume what is paused", ""),
        ("discard", _discard, "end the recording and remove its file", ""),
        ("mark", _mark, "remember this moment in the recording", ""),
        ("preview", _preview, "play what was recorded so far, while it is paused", ""),
    ):
        verb = verbs.add_parser(
            name, parents=[everywhere], help=text, description=f"{text[0].upper()}{text[1:]}.{more}"
        )
        verb.add_argument("--name", metavar="NAME", help="the recorder that is meant, when several run")
        verb.set_defaults(run=run)
        if name == "mark":
            verb.add_argument("text", metavar="TEXT", nargs="?", default="", help="what to call the moment")


def _settings(arguments: Arguments) -> RecordSettings:
    from pathlib import Path

    from capture.settings import (
        RecordSettings,
        container_of,
        parse_audio,
        parse_fps,
        parse_geometry,
        parse_level,
        parse_region,
        parse_time,
    )

    screen = None if arguments.screen == "none" else arguments.screen or "primary"
    output = Path(arguments.output) if arguments.output is not None else None
    if output is not None and arguments.screen is None and not container_of(output).holds_video:
        screen = None
    loudness = None
    if arguments.loudness is not None:
        from capture.recordings.loudness import parse_loudness

        loudness = parse_loudness(arguments.loudness)
    silence = arguments.stop_after_silence
    values: dict[str, Any] = {
        "audio": parse_audio(["internal"] if arguments.audio is None else arguments.audio),
        "screen": screen,
        "region": None if arguments.region is None else parse_region(arguments.region),
        "scale": None if arguments.scale is None else parse_geometry(arguments.scale),
        "fps": parse_fps(arguments.fps),
        "constant_fps": arguments.constant_fps,
        "cursor": arguments.cursor,
        "quality": arguments.quality,
        "encoder": arguments.encoder,
        "duration_s": None if arguments.duration is None else parse_time(arguments.duration),
        "delay_s": 0.0 if arguments.delay is None else parse_time(arguments.delay, zero_allowed=True),
        "pattern": arguments.source == "pattern",
        "overwrite": arguments.overwrite,
        "wait_for_sound": bool(arguments.wait_for_sound),
        "stop_after_silence_s": None if silence is None else parse_time(silence),
        "sound_threshold_dbfs": parse_level(arguments.sound_threshold),
        "each": getattr(arguments, "each", False),
        "hold": getattr(arguments, "hold", None),
        "voice": bool(arguments.voice),
        "loudness_lufs": loudness,
        "name": arguments.name,
    }
    values["numbered"] = values["dated"] = output is None
    if output is None:
        from datetime import datetime

        from capture.recordings.folder import default_path

        output = default_path("mp4" if screen is not None else "ogg", now=datetime.now().astimezone())
    return RecordSettings(output, **values)


# --- Verbs


def _record(arguments: Arguments) -> int:
    from capture.session import Session
    from capture.triggers.hotkeys import DEFAULT_HOTKEYS, Hotkeys
    from capture.triggers.remote import RemoteControl
    from capture.triggers.signals import Signals

    settings = _settings(arguments)
    settings.check()
    remote = RemoteControl(settings.name)
    triggers: list[Trigger] = [remote]
    if arguments.hotkeys or settings.hold is not None:
        triggers.append(Hotkeys(DEFAULT_HOTKEYS if arguments.hotkeys else {}, settings.hold))
    terminal = _terminal(arguments, "Ctrl+Alt+R or Ctrl+C stops" if arguments.hotkeys else "Ctrl+C stops")
    session = Session(settings, emit=terminal, triggers=triggers)
    signals = Signals()
    signals.start(session.send)
    try:
        # Without a remote control it is recorded all the same, and said.
        with suppress(NotReadyError):
            remote.start(session.send)
        return _conclude(arguments, terminal, session, session.run(), {})
    finally:
        remote.stop()
        signals.stop(ignoring=arguments.ends_process)


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
    from capture.desktop.virtual import VirtualDesk
    from capture.session import Session
    from capture.settings import parse_geometry
    from capture.triggers.remote import RemoteControl
    from capture.triggers.signals import Signals

    if not arguments.command:
        raise UsageError("headless has no command to run", "write it behind --, as in capture headless -- glxgears")
    settings = _settings(arguments)
    settings.check()
    width, height = parse_geometry(arguments.size)
    terminal = _terminal(arguments, "Ctrl+C stops")
    desk = VirtualDesk(width, height)
    program = _Program(desk, arguments.command)
    # The user's own, not the desk's: it is from there that the orders come.
    remote = RemoteControl(settings.name)
    session = Session(settings, emit=terminal, triggers=[remote], on_ready=lambda: program.start(session.send))
    signals = Signals()
    signals.start(session.send)
    try:
        with suppress(NotReadyError):
            remote.start(session.send)
        with desk, _on_desk(desk):
            summary = session.run()
            return _conclude(arguments, terminal, session, summary, {"exit_code": program.exit_code()})
    finally:
        remote.stop()
        signals.stop(ignoring=arguments.ends_process)


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
        nothing = {"path": None, "stopped_by": "discard" if session.error is None else "failed"}
        found: dict[str, Any] = nothing if summary is None else summary.as_json()
        if session.settings.each:
            found = {"recordings": [each.as_json() for each in session.summaries]}
        print(json.dumps(found | more))
    if not session.summaries and session.error is None:
        terminal.say("nothing was kept")
        return 0
    if session.error is not None:
        kept = f"; {summary.path} has what was recorded until then" if summary and summary.size_bytes else ""
        terminal.complain(f"capture: {session.error}{kept}")
        return session.error.exit_code
    return 0 if all(each.check == "ok" for each in session.summaries) else 1


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
        print(f"capture: {text}", file=sys.stderr)
    return 3 if missing and not any(found.values()) else 0


def _shown(name: str, value: Any) -> str:
    text = f"{name}={value}" if not isinstance(value, bool) else (name if value else f"not {name}")
    return "".join(char if char.isprintable() else "?" for char in text)


def _doctor(arguments: Arguments) -> int:
    from capture.desktop.doctor import diagnose

    diagnosis = diagnose()
    if arguments.json:
        print(json.dumps(diagnosis.as_json()))
    else:
        for item in diagnosis.checks:
            print(f"{'ok ' if item.ok else 'NO '} {item.name}: {item.found}")
            if item.remedy:
                print(f"    → {item.remedy}")
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
            print(f"problem: {problem}")
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
        _tell(arguments, "  ".join([f"saved {answer['path']}", *_measures(answer)]))
    else:
        _tell(arguments, "it waits no more" if answer.get("state") == "armed" else "nothing was kept")
    if answer.get("check", "ok") != "ok":
        return _fail(f"the check found: {answer['check']}", 1, arguments.debug)
    return 0


def _change(arguments: Arguments) -> int:
    answer = _order(arguments)
    state = str(answer.get("state"))
    _tell(arguments, f"{'resumed' if state == 'recording' else state}{_at(answer)}")
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


def _order(arguments: Arguments, text: str = "") -> dict[str, Any]:
    """Give the recorder the order that the verb is, and print its answer where JSON is wanted."""
    from capture.triggers.client import ask

    answer = ask(arguments.verb, name=arguments.name, text=text)
    if arguments.json:
        print(json.dumps(answer))
    return answer


def _tell(arguments: Arguments, line: str) -> None:
    if not (arguments.json or arguments.quiet):
        print("".join(char if char.isprintable() else "?" for char in line))


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


if __name__ == "__main__":
    raise SystemExit(main())
