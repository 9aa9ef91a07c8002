"""Defines the options of the verbs that record, and of `clip`. Imports nothing heavy."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, BooleanOptionalAction
from collections.abc import Mapping
from typing import Any, Final

from capture.cli.control_options import add_recorder_name
from capture.cli.descriptions import AFTER_SAVE, NAME, SPEECH

__all__ = ["fill_clip", "fill_headless", "fill_note", "fill_record", "fill_replay", "fill_standby"]

_SCREEN: Final = (
    "primary (default), all, none, or a number or name from capture devices; ask: choose in the desktop's dialog (on "
    "Wayland)"
)

#: What `note` sets in place of the picture options, which it does not have.
_NO_PICTURE: Final[Mapping[str, Any]] = {
    "screen": "none",
    "region": None,
    "scale": None,
    "fps": "30",
    "constant_fps": False,
    "cursor": False,
    "show_clicks": False,
    "show_keys": False,
    "quality": "medium",
    "encoder": "auto",
}


def fill_record(parser: ArgumentParser) -> None:
    _add_output(parser)
    _add_picture_options(parser)
    _add_window(parser)
    _add_sound_options(parser)
    _add_recording_options(parser)
    _add_control_options(parser)


def fill_note(parser: ArgumentParser) -> None:
    _add_output(parser)
    _add_sound_options(parser)
    _add_recording_options(parser)
    _add_control_options(parser)
    parser.add_argument("--speech", action="store_true", help=SPEECH)
    parser.set_defaults(**_NO_PICTURE)


def fill_standby(parser: ArgumentParser) -> None:
    _add_waiting_options(parser)
    parser.add_argument("--replay", metavar="T", help="keep the last T in memory for clips, like 60s")


def fill_replay(parser: ArgumentParser) -> None:
    _add_waiting_options(parser)
    parser.add_argument("--last", metavar="T", help="keep the last T in memory (60s)")


def fill_clip(parser: ArgumentParser) -> None:
    add = parser.add_argument
    _add_output_name(parser, "the file to write (default: a new file named by date and time)")
    add("--last", metavar="T", help="save the last T (default: the whole buffer)")
    add("--exact", action="store_true", help="start exactly at that time, not up to 2 s earlier")
    add("--max-size", metavar="SIZE", help="re-encode to fit into SIZE, like 10MB")
    _add_renamed(
        parser,
        "--log",
        "--ledger",
        dest="ledger",
        action="store_true",
        help="write the events of the clip into a file beside it",
    )
    add("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    add("--format", metavar="FORMAT", help="convert the clip: gif, webp, mp4, ogg, m4a")
    add_recorder_name(parser)


def fill_headless(parser: ArgumentParser) -> None:
    _add_output(parser)
    _add_picture_options(parser)
    _add_sound_options(parser)
    _add_recording_options(parser)
    parser.add_argument("--name", metavar="NAME", help=NAME)
    parser.add_argument("--size", metavar="WxH", default="1920x1080", help="size of the virtual desktop (%(default)s)")
    parser.add_argument(
        "--desk", choices=("x11", "wayland"), default="x11", help="what COMMAND draws on; wayland needs sway (x11)"
    )
    parser.add_argument(
        "--wait-for-window", action="store_true", help="start when COMMAND opens its first window, within 60 s"
    )
    parser.add_argument(
        "--ignore-exit-code", action="store_true", help="exit with 0 when the recording succeeded but COMMAND failed"
    )


def _add_renamed(parser: ArgumentParser, name: str, old_name: str, **options: Any) -> None:
    """Add an option whose old name still works but is not in the help."""
    option = parser.add_argument(name, **options)
    hidden = {**options, "dest": option.dest, "help": SUPPRESS, "default": SUPPRESS}
    parser.add_argument(old_name, **hidden)


def _add_output_name(parser: ArgumentParser, text: str) -> None:
    parser.add_argument("output", metavar="OUTPUT", nargs="?", help=text)
    parser.add_argument("-o", "--output", metavar="OUTPUT", dest="output_option", help="the same as OUTPUT")


def _add_output(parser: ArgumentParser) -> None:
    _add_output_name(parser, "the file to write (default: a new file named by date and time in your recordings folder)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    _add_renamed(
        parser,
        "--log",
        "--ledger",
        dest="ledger",
        action="store_true",
        help="write events as they happen into OUTPUT.ledger.jsonl",
    )
    parser.add_argument("--after-save", metavar="COMMAND", help=AFTER_SAVE)


def _add_picture_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--screen", metavar="WHAT", help=_SCREEN)
    add("--region", metavar="WxH+X+Y", help="part of the screen; select: drag a rectangle")
    add("--scale", metavar="WxH", help="fit the picture into this size; WxH! forces it")
    add("--fps", metavar="N", help="maximum frame rate (30)")
    add("--constant-fps", action="store_true", help="constant frame rate, for video editors")
    add("--cursor", action=BooleanOptionalAction, help="draw the mouse cursor (yes)")
    add("--show-clicks", action=BooleanOptionalAction, help="draw a ring at each mouse click (no)")
    add("--show-keys", action=BooleanOptionalAction, help="show pressed keys in the picture (no)")
    add("--quality", choices=("low", "medium", "high"), help="picture quality (medium)")
    add("--encoder", metavar="NAME", help="auto (default), or FFmpeg's name of a video encoder")


def _add_window(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--window",
        metavar="TITLE",
        help="one window, wherever it moves: its title, its id, or active; select: click it",
    )


def _add_sound_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--audio",
        metavar="WHAT",
        action="append",
        help="an audio track: internal (default; what the computer plays), mic, app:NAME for one application, a device "
        "id from capture devices, or none; + mixes, as in internal+mic; repeat the option for more tracks",
    )
    add(
        "--voice",
        action=BooleanOptionalAction,
        help="encode as messengers do: Opus, mono, 16 kHz, 24 kb/s (default for note)",
    )
    add("--loudness", metavar="LUFS", help="normalise the finished recording to this loudness, like -16LUFS")


def _add_recording_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--duration", metavar="T", help="stop after this time: 90, 90s, 1m30s, 1:30")
    add("--delay", metavar="T", help="wait this long before recording")
    add("--title", metavar="TEXT", help="title of the recording, which players and capture list show")
    add(
        "--wait-for-sound",
        action=BooleanOptionalAction,
        help="start when sound starts, with 0.1 s before it (default for note)",
    )
    add(
        "--stop-after-silence",
        metavar="T",
        help="stop after this much silence and cut it off (default for note: 2s)",
    )
    add("--sound-threshold", metavar="LEVEL", default="-50dB", help="level above which sound counts (%(default)s)")
    _add_source(parser)


def _add_source(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        choices=("device", "pattern"),
        default="device",
        help="record the real devices (default), or a built-in test picture and tone",
    )


def _add_control_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--replay", metavar="T", help="also keep the last T in memory for clips, like 60s")
    _add_renamed(
        parser,
        "--repeat",
        "--each",
        action="store_true",
        help="continue with the next recording, each in its own file",
    )
    _add_key_and_buffer_options(parser)


def _add_key_and_buffer_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--hold", metavar="KEY", help="record while this key is held, like '<ctrl>+<alt>+space'")
    add("--buffer-size", metavar="SIZE", help="memory limit of the replay buffer (500MB)")
    add("--fallback-dir", metavar="FOLDER", help="save clips here if their own folder cannot be written")
    add(
        "--hotkeys",
        action=BooleanOptionalAction,
        default=True,
        help="listen to the hotkeys: {record} starts and stops, {pause} pauses, {discard} discards, {mark} adds a "
        "chapter mark, {clip} saves a clip; capture config shows and changes them, on Wayland the desktop does (yes)",
    )
    add("--name", metavar="NAME", help=NAME)


def _add_waiting_options(parser: ArgumentParser) -> None:
    _add_output(parser)
    _add_picture_options(parser)
    _add_window(parser)
    _add_sound_options(parser)
    add = parser.add_argument
    ending = "end" if parser.prog.endswith("replay") else "stop each recording"
    add("--duration", metavar="T", help=f"{ending} after this time: 90, 90s, 1m30s, 1:30")
    _add_renamed(
        parser,
        "--pre-roll",
        "--since",
        metavar="T",
        help="start recordings this long before the key press, from the replay buffer",
    )
    _add_key_and_buffer_options(parser)
    _add_source(parser)
