"""The command line: mistakes are refused in one line with the right exit code, and no file is touched."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Final

import pytest
from refusals import Refused, refused
from reopened import probe

import capture
from capture.cli.main import main
from capture.output.locked_file import create_locked

PATTERN: Final = ("--source", "pattern", "--no-hotkeys")

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")


# Usage errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        # the file name
        (("record", "out.avi"), ("'.avi'", ".mp4")),
        (("record", "out"), ("'out'", "no extension", ".mp4")),
        (("record", "out."), ("'out.'", "no extension", ".mp4")),
        (("record", ""), ("no extension", ".mp4")),
        (("record", "missing/out.mp4"), ("missing", "does not exist", "create it")),
        (("record", "taken.mp4/out.mp4"), ("taken.mp4", "does not exist")),
        (("record", "taken.mp4"), ("taken.mp4", "exists already", "--overwrite")),
        (("record", "sub"), ("'sub'", "no extension")),
        (("record", "a\0b.mp4"), ("cannot be a file name",)),
        (("record", "a" * 300 + ".mp4"), ("too long",)),
        # the region
        (("record", "out.mp4", "--region", "100x100"), ("'100x100'", "1280x720+100+50")),
        (("record", "out.mp4", "--region", "0x100+0+0"), ("'0x100+0+0'", "no area")),
        (("record", "out.mp4", "--region", "1x1+0+0"), ("no area",)),
        (("record", "out.mp4", "--region", "everything"), ("'everything'", "1280x720+100+50")),
        (("record", "out.mp4", "--region", "100x100+0+0", "--screen", "none"), ("--region", "needs a picture")),
        (("record", "out.ogg", "--region", "100x100+0+0"), ("--region", "needs a picture")),
        (("record", "out.mp4", "--region", "640x480+0+0", *PATTERN), ("--region", "pattern")),
        (("headless", "out.mp4", "--region", "select", "--", "true"), ("headless", "WxH+X+Y")),
        (("headless", "out.mp4", "--window", "xterm", "--", "true"), ("--window",)),
        (("note", "out.ogg", "--window", "xterm"), ("--window",)),
        (("record", "out.mp4", "--window", "xterm", "--region", "select"), ("--window xterm", "--region select")),
        (("record", "out.ogg", "--window", "xterm"), ("--window xterm", "needs a picture")),
        (("record", "out.mp4", "--window", ""), ("--window ''", "is not a name or title")),
        # numbers
        (("record", "out.mp4", "--fps", "0"), ("'0'", "240")),
        (("record", "out.mp4", "--fps", "241"), ("'241'", "240")),
        (("record", "out.mp4", "--fps", "nan"), ("'nan'", "240")),
        (("record", "out.mp4", "--fps", "inf"), ("'inf'", "240")),
        (("record", "out.mp4", "--fps", "-5"), ("-5",)),
        (("record", "out.mp4", "--fps", "fast"), ("'fast'", "240")),
        (("record", "out.mp4", "--duration", "0"), ("'0'", "more than zero")),
        (("record", "out.mp4", "--duration", "soon"), ("'soon'", "1m30s")),
        (("record", "out.mp4", "--duration", "-1"), ("-1",)),
        (("record", "out.mp4", "--duration", "1:75"), ("'1:75'", "1m30s")),
        (("record", "out.mp4", "--duration", "99999999h"), ("a thousand hours",)),
        (("record", "out.mp4", "--delay", "whenever"), ("'whenever'", "1m30s")),
        (("record", "out.mp4", "--scale", "640"), ("'640'", "1280x720")),
        (("record", "out.mp4", "--scale", "641x480"), ("'641x480'", "even")),
        (("record", "out.mp4", "--scale", "0x0"), ("'0x0'", "even")),
        (("record", "out.mp4", "--scale", "99999x99998"), ("'99999x99998'", "16384")),
        # what to record
        (("record", "out.mp4", "--screen", "none", "--audio", "none"), ("neither picture nor sound",)),
        (("record", "out.ogg", "--audio", "none"), ("neither picture nor sound",)),
        (("record", "out.ogg", "--screen", "primary"), (".ogg", "sound alone", "--screen none")),
        (("record", "out.wav", "--screen", "1"), (".wav", "sound alone")),
        (("record", "out.ogg", "--audio", "internal", "--audio", "mic"), (".ogg", "internal+mic")),
        (("record", "out.mp4", "--audio", ""), ("track ''",)),
        (("record", "out.mp4", "--audio", "internal+"), ("'internal+'",)),
        (("record", "out.mp4", "--audio", "none", "--audio", "mic"), ("none",)),
        (("record", "out.mp4", "--audio", "mic", "--audio", "mic"), ("mic", "twice")),
        (("record", "out.mp4", "--audio", "mic+mic"), ("itself",)),
        (("record", "out.mp4", *PATTERN, "--audio", "mic"), ("'mic'", "pattern")),
        (("record", "out.mp4", "--quality", "superb"), ("superb", "medium")),
        (("record", "out.mp4", "--source", "dreams"), ("dreams", "pattern")),
        # braces mean nothing
        (("record", "out.mp4", "--name", "a/{0}"), ("--name a/{0}", "not a valid")),
        (("record", "out.mp4", "--hold", "{fps}"), ("--hold {fps}", "cannot be used")),
        # the buffer, by the name of its option
        (("standby", "--replay", "5s", "--pre-roll", "9s"), ("--pre-roll 9s", "--replay T")),
        (("replay", "--last", "5s", "--pre-roll", "9s"), ("--pre-roll 9s", "--last T")),
        # start and stop by sound
        (("record", "out.mp4", "--sound-threshold", "loud"), ("'loud'", "-50dB")),
        (("record", "out.mp4", "--sound-threshold", "0dB"), ("0dB", "not between -90dB and 0dB", "-50dB")),
        (("record", "out.mp4", "--sound-threshold", "-91dB"), ("-91dB", "not between -90dB and 0dB", "-50dB")),
        (("record", "out.mp4", "--stop-after-silence", "0"), ("'0'", "more than zero")),
        (("record", "out.mp4", "--stop-after-silence", "soon"), ("'soon'", "1m30s")),
        (("record", "out.mp4", "--wait-for-sound", "--audio", "none"), ("--wait-for-sound", "needs sound")),
        (
            ("record", "out.mp4", "--stop-after-silence", "2s", "--audio", "none"),
            ("--stop-after-silence", "needs sound"),
        ),
        (("record", "out.mp4", "--loudness", "-16", "--audio", "none"), ("--loudness", "needs sound")),
        (("record", "out.mp4", "--voice", "--audio", "none"), ("--voice", "needs sound")),
        (("record", "out.mp4", "--loudness", "loud"), ("'loud'", "-16LUFS")),
        (("record", "out.mp4", "--loudness", "5LUFS"), ("'5LUFS'", "-16LUFS")),
        (("record", "out.mp4", "--loudness", "-99"), ("'-99'", "-16LUFS")),
        (("record", "out.m4a", "--voice"), ("--voice", ".m4a", ".ogg or .opus")),
        (("record", "out.mp4", "--audio", "app:"), ("'app:'", "app:firefox")),
        (("record", "out.mp4", "--audio", "internal+app: "), ("'internal+app: '", "names no application")),
        (("record", "out.mp4", "--audio", "internal,mic"), ("'internal,mic'", "mix with +, as in internal+mic")),
        (("record", "out.mp4", "--audio", "Mic, internal"), ("'Mic, internal'", "mix with +, as in internal+mic")),
        (("record", "out.mp4", "--audio", "Microphone + mic"), ("mic with itself",)),
        (("record", "out.mp4", "--scale", "640!"), ("'640'", "1280x720")),
        (("replay", "--last", "100h"), ("--last 360000s", "24h or less")),
        (("record", "out.mp4", "--replay", "100h"), ("--replay 360000s", "24h or less")),
        (("replay", "--buffer-size", "10"), ("--buffer-size 10", "1MB or more")),
        (("config", "replay.last", "100h"), ("'100h'", "24h or less")),
        (("config", "replay.buffer_size", "10"), ("'10'", "1MB or more")),
        (("replay", "--duration", "soon"), ("'soon'", "1m30s")),
        # one recording after another
        (("record", "out.mp4", "--repeat"), ("--repeat", "--wait-for-sound", "--hold")),
        (("note", "out.ogg", "--repeat", "--no-wait-for-sound"), ("--repeat", "--wait-for-sound", "--hold")),
        (("record", "out.mp4", "--hold", "nonsense"), ("'nonsense'", "<f9>")),
        (("record", "out.mp4", "--hold", "<ctrl>+"), ("'<ctrl>+'", "<f9>")),
        (("record", "out.mp4", "--name", "a/b"), ("'a/b'", "letters and digits")),
        (("headless", "out.mp4", "--repeat", "--", "true"), ("--repeat",)),
        # notes
        (("note", "out.avi"), ("'.avi'", ".ogg")),
        (("note", "taken.mp4"), ("taken.mp4", "exists already", "--overwrite")),
        (("note", "out.wav", "--voice"), ("--voice", ".wav", ".ogg or .opus")),
        (("note", "out.ogg", "--audio", "none"), ("neither picture nor sound", "--audio none")),
        (("note", "out.ogg", "--screen", "primary"), ("--screen",)),
        (("note", "out.ogg", "--speech", "--hold", "<f9>"), ("--speech needs", "--wait-for-sound", "silence 2s")),
        (("note", "out.ogg", "--audio", "internal", "--audio", "mic"), (".ogg", "internal+mic")),
        # the command line itself
        ((), ("VERB", "--help")),
        (("rekord", "out.mp4"), ("no verb 'rekord'", "did you mean record?")),
        (("rec",), ("no verb 'rec'", "did you mean record?")),
        (("--json", "recrod", "out.mp4"), ("'recrod'", "did you mean record?")),
        (("help", "recrod"), ("'recrod'", "did you mean record?")),
        (("out.mp4",), ("'out.mp4'", "did you mean capture record out.mp4?")),
        (("xyzzy",), ("'xyzzy'", "see capture --help")),
        (("--format", "mp4", "out"), ("--format comes before the verb", "as in capture record out.mp4")),
        (("--json", "--fps", "30", "record", "out.mp4"), ("--fps comes before the verb",)),
        (("--verison",), ("no option --verison", "did you mean --version?")),
        (("record", "out.mp4", "--quality", "best"), ("--quality 'best' is unknown: use low, medium or high",)),
        (("completion", "tcsh"), ("SHELL 'tcsh' is unknown: use bash, zsh or fish",)),
        (("record", "out.mp4", "--fsp", "30"), ("capture record has no option --fsp", "did you mean --fps?")),
        (("record", "out.mp4", "--durration", "3"), ("--durration", "did you mean --duration?")),
        (("record", "--durration=3"), ("no option --durration:", "did you mean --duration?")),
        (("record", "--format", "mp4", "out"), ("no option --format", "the extension of OUTPUT")),
        (("record", "out.mp4", "--mic"), ("no option --mic", "use --audio mic")),
        (("note", "--size", "640x480"), ("no option --size", "see capture note --help")),
        (("status", "--format", "mp4"), ("no option --format", "see capture status --help")),
        (("record", "out.mp4", "--sc", "1"), ("--screen, --scale", "see capture record --help")),
        (("record", "-o", "taken.mp4"), ("taken.mp4", "exists already", "--overwrite")),
        (("record", "-o", "a.mp4", "b.mp4"), ("two outputs", "a.mp4", "b.mp4", "drop one")),
        (("clip", "--output", "a.mp4", "b.mp4"), ("two outputs", "a.mp4", "b.mp4", "drop one")),
        (("record", "out.mp4", "second.mp4"), ("second.mp4",)),
        (("record", "out.mp4", "--duration"), ("--duration", "expected one argument")),
        (("record", "out.mp4", "--duration", "--json"), ("--duration", "expected one argument")),
        (("record", "out.mp4", "--", "sleep", "1"), ("'sleep'", "headless")),
        (("headless", "out.mp4"), ("no command", "--")),
        (("headless", "out.mp4", "--"), ("no command", "--")),
        (("headless", "out.mp4", "--size", "huge", "--", "true"), ("'huge'", "1280x720")),
        (("check",), ("FILE", "--help")),
        (("check", "missing.mp4"), ("missing.mp4", "does not exist")),
        (("check", "sub"), ("sub", "folder")),
        (("devices", "more"), ("more",)),
    ],
    ids=lambda value: " ".join(value)[:60].replace("\0", "NUL") or "nothing",
)
def test_mistakes_are_refused_with_a_remedy(arguments: tuple[str, ...], said: tuple[str, ...], untouched: Path) -> None:
    message = refused(*arguments)
    for words in said:
        assert words in message, message


@pytest.mark.parametrize("arguments", [("--version",), ("help",), ("help", "clip"), ("clip", "--help")])
def test_help_and_version_are_printed(arguments: tuple[str, ...]) -> None:
    out = StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None)
    if arguments == ("--version",):
        assert out.getvalue() == f"capture {capture.__version__}\n"
    else:
        assert out.getvalue().startswith("usage: capture clip" if "clip" in arguments else "usage: capture [-h]")


@pytest.mark.parametrize(
    ("scale", "size"), [("640x640", (640, 360)), ("640x640!", (640, 640)), ("2560x720", (1280, 720))]
)
def test_a_picture_keeps_its_shape_unless_it_is_forced(
    scale: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--audio", "none", "--duration", "0.5", "--json")
    result = Refused(("record", "out.mp4", *PATTERN, *options, "--scale", scale))
    assert result.exit_code == 0, result.stderr
    video = json.loads(result.stdout)["video"]
    assert (video["width"], video["height"]) == size


@pytest.mark.usefixtures("untouched")
def test_several_files_are_checked_with_the_worst_exit_code(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    assert Refused(("record", str(good), *PATTERN, "--duration", "0.1")).exit_code == 0
    bad.write_bytes(b"")
    ok = Refused(("check", str(good), str(good)))
    assert (ok.exit_code, ok.stdout) == (0, f"{good}: ok\n" * 2)
    worse = Refused(("check", str(good), str(bad)))
    assert (worse.exit_code, worse.stdout.splitlines()[1:]) == (
        1,
        [f"{bad}: not ok", "  problem: the file is empty"],
    )
    worst = Refused(("check", str(bad), "missing.wav", str(good), "--json"))
    found = json.loads(worst.stdout)
    assert (worst.exit_code, found["ok"]) == (2, False)
    assert [each["ok"] for each in found["files"]] == [False, False, True]
    # One file has its report as ever.
    assert list(json.loads(Refused(("check", str(good), "--json")).stdout)) == ["path", "ok", "problems", "streams"]


@on_linux
def test_a_file_that_is_being_recorded_is_not_called_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    descriptor = create_locked(path)
    try:
        os.write(descriptor, b"RIFF")
        running = Refused(("check", str(path)))
    finally:
        os.close(descriptor)
    assert running.exit_code == 1
    assert "problem: it is being recorded: check it when it is finished\nnot ok\n" in running.stdout


def test_a_folder_without_recordings_is_named(untouched: Path) -> None:
    result = Refused(("repair", "sub"))
    assert (result.exit_code, result.stdout) == (0, "there is no recording in sub: nothing to repair\n")
    assert json.loads(Refused(("repair", "sub", "--json")).stdout) == {"files": []}


@pytest.mark.parametrize("option", ["-o", "--output"])
def test_the_output_can_be_an_option(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = Refused(("record", option, "out.wav", *PATTERN, "--duration", "0.1", "--json"))
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["path"] == str(tmp_path / "out.wav")


@on_linux
@pytest.mark.usefixtures("in_process_desk", "untouched")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("out.mp4", "--region", "100x100+1200+0"), ("100x100+1200+0", "outside", "1280x720+0+0")),
        (("out.mp4", "--region", "100x100+-1+0"), ("100x100-1+0", "outside")),
        (("out.mp4", "--region", "9999x9999+0+0"), ("outside",)),
        (("out.mp4", "--screen", "7"), ("'7'", "primary, all, ", "1")),
        (("out.mp4", "--screen", "skreen"), ("'skreen'", "screen")),
        (("out.ogg", "--audio", "desc.monitor"), ("'desc.monitor'", "desk.monitor")),
        # A similar name is no match.
        (("out.ogg", "--audio", "desk"), ("'desk'", "desk.monitor")),
        (("out.ogg", "--audio", "Desk.Monitor"), ("'Desk.Monitor'", "desk.monitor")),
        (("out.ogg", "--audio", "internal+desk"), ("'desk'", "desk.monitor")),
    ],
)
def test_missing_screens_and_devices_are_refused_with_the_existing_ones(
    arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    message = refused("record", *arguments)
    for words in said:
        assert words in message, message


def test_a_dangling_link_is_not_followed(untouched: Path) -> None:
    link = untouched / "link.mp4"
    link.symlink_to(untouched / "elsewhere.mp4")
    try:
        assert "exists already" in refused("record", "link.mp4", *PATTERN)
    finally:
        link.unlink()


@pytest.mark.usefixtures("untouched")
def test_control_characters_in_a_name_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in refused("record", "missing\x1b[2J\r/out.mp4")


@pytest.mark.usefixtures("untouched")
def test_an_unknown_encoder_is_refused_by_name() -> None:
    result = Refused(("record", "out.mp4", *PATTERN, "--encoder", "h265_magic"))
    assert result.exit_code in (2, 3)
    assert "h265_magic" in result.message
    assert "libx264" in result.message


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "webm"])
def test_a_note_in_a_video_container_has_only_audio(
    extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = Refused(("note", f"out.{extension}", *PATTERN, "--duration", "0.3", "--json"))
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["video"] is None
    assert [stream["codec_type"] for stream in probe(tmp_path / f"out.{extension}")["streams"]] == ["audio"]


# No display, no sound server


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without a display and without a sound server."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "PULSE_COOKIE", "PULSE_CLIENTCONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/no-server")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def not_ready(*arguments: str) -> str:
    result = Refused(arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    return result.message


@on_linux
@pytest.mark.usefixtures("nowhere", "untouched")
def test_a_missing_display_is_reported_with_a_remedy() -> None:
    message = not_ready("record", "out.mp4")
    assert "display" in message
    assert "--screen none" in message
    assert "headless" in message


@on_linux
@pytest.mark.usefixtures("nowhere", "untouched")
def test_a_missing_sound_server_is_reported_with_a_remedy() -> None:
    message = not_ready("record", "out.ogg")
    assert "sound server" in message
    assert "--audio none" in message


@on_linux
@pytest.mark.usefixtures("nowhere", "untouched")
def test_wayland_is_reported_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    message = not_ready("record", "out.mp4")
    assert "Wayland" in message
    assert "headless" in message


@on_linux
@pytest.mark.usefixtures("untouched", "in_process_desk")
def test_a_missing_microphone_is_reported_with_a_remedy() -> None:
    message = not_ready("record", "out.ogg", "--audio", "mic")
    assert "microphone" in message
    assert "capture devices" in message
