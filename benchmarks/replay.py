"""What does a replay buffer cost, how long does saving a clip take, and how much memory does the buffer use?

Usage: python -m benchmarks.replay [--seconds 60] [--runs 3] [--saves 10] [--json [FILE]]

* Cost: `capture replay` and ffmpeg's segment muxer, which keeps the last minute in files of 2 s, record the same
  walkthrough in turn. Reports the CPU time of each, and the median of the ratios of single runs.
* Clips: on a screen that keeps changing, with a full buffer of one minute, from the hotkey until the file exists and
  passes its check. Every clip is opened: the running clock on the screen and the beeps show which moments it contains.
  Then 20 saves in 20 s, during which no slot may be lost.
* Buffers of 30, 60 and 300 s filled faster than real time with real packets: the time to save and check a clip, and the
  growth of the process compared with the size that the buffer reports.
* Standby: from the hotkey to the first frame in the file, by the clock on the screen.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from benchmarks.decoding import read_picture, read_sound
from benchmarks.desk import HEIGHT, WIDTH, Desk, fresh_desk
from benchmarks.onsets import beep_onsets_s
from benchmarks.process import run, started
from benchmarks.recorders import FPS
from benchmarks.remote import Keys, Remote, recorder, until
from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.synchrony import Truth, clock_readings
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S
from capture.recordings.check import check
from capture.replay.buffer import ReplayBuffer
from capture.replay.clip_writer import save
from capture.replay.packets import ReplayTrack
from capture.sources.pattern import draw_pattern, pattern_tone
from capture.timing.timeline import grid_pts

CLIP_BOUND_S: Final = 0.3
FIRST_FRAME_BOUND_S: Final = 0.05
MEMORY_BOUND: Final = 1.15
MEMORY_ALLOWANCE_MB: Final = 120.0

_LAST_S: Final = 60.0
_GRACE_S: Final = 30.0
_LIMIT_BYTES: Final = 2_000_000_000
_BYTES_PER_MB: Final = 1_000_000

#: Lengths of the buffers that are filled faster than real time, and how many seconds are encoded and then repeated.
_FILLED_S: Final = (30, 60, 300)
_ENCODED_S: Final = 10


# --- Cost


def measure_cost(seconds: float) -> tuple[float, float]:
    """Return the CPU seconds of a replay buffer and of ffmpeg's segments, for the same walkthrough."""
    stimulus = [sys.executable, "-m", "benchmarks.stimulus.walkthrough"]
    taken: list[float] = []
    for of_ours in (True, False):
        with tempfile.TemporaryDirectory() as folder, fresh_desk() as desk, started(stimulus, desk.environment):
            argv = _replay(folder) if of_ours else _segments(folder, desk, seconds)
            # A replay buffer runs until it is stopped.
            argv = ["timeout", "--signal=TERM", f"{seconds:g}", *argv] if of_ours else argv
            taken.append(run(argv, desk.environment, seconds + _GRACE_S).cpu_s)
    return taken[0], taken[1]


def _replay(folder: str) -> list[str]:
    output = str(Path(folder, "clip.mp4"))
    return [sys.executable, "-m", "capture", "replay", output, "--last", f"{_LAST_S:g}s", "--quiet"]


def _segments(folder: str, desk: Desk, seconds: float) -> list[str]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise FileNotFoundError("ffmpeg is not installed")
    argv = [program, "-nostdin", "-y", "-f", "x11grab", "-framerate", str(FPS), "-video_size", f"{WIDTH}x{HEIGHT}"]
    argv += ["-i", desk.environment["DISPLAY"], "-f", "pulse", "-i", f"{desk.sink}.monitor"]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", str(2 * FPS)]
    argv += ["-c:a", "aac", "-t", f"{seconds:g}"]
    argv += ["-f", "segment", "-segment_time", "2", "-segment_wrap", str(round(_LAST_S / 2)), "-reset_timestamps", "1"]
    return [*argv, str(Path(folder, "part%03d.mp4"))]


# --- Clips by hotkey


@dataclass(frozen=True, slots=True)
class Saved:
    """A clip saved by hotkey."""

    took_s: float
    #: How long before the key press its last picture was on the screen.
    ends_before_s: float
    #: Offsets of the picture from the sound, positive if the picture is late.
    offsets_ms: list[float]


def measure_clips(count: int) -> tuple[list[Saved], int]:
    """Save clips of the last minute by hotkey; return them, and the slots lost over 20 saves in 20 s."""
    saved = []
    with tempfile.TemporaryDirectory() as folder, fresh_desk() as desk:
        remote, log = Remote(desk.environment), Path(folder, "truth.jsonl")
        stimulus = [sys.executable, "-m", "benchmarks.stimulus.flash_beep", "--clock", "--log", str(log)]
        output = Path(folder, "clips", "base.mp4")
        output.parent.mkdir()
        with (
            started(stimulus, desk.environment),
            recorder(desk, "replay", str(output), "--last", f"{_LAST_S:g}s"),
        ):
            until(lambda: remote.status().get("buffer_s", 0.0) >= _LAST_S - 0.5, "a full buffer")
            keys = Keys(desk.environment)
            random = np.random.default_rng(1)
            for number in range(count):
                announce(f"clip {number + 1}")
                time.sleep(float(random.uniform(0.5, 1.5)))
                known = set(output.parent.iterdir())
                pressed_s = keys.press("ctrl+alt+c")
                done_s = until(lambda known=known: _is_checked(output.parent, known), "a clip")  # type: ignore[misc]
                (path,) = set(output.parent.iterdir()) - known
                saved.append(_saved(path, log, pressed_s, done_s - pressed_s))
                path.unlink()
            lost = _lost_over_saves(remote, Path(folder))
            keys.close()
    return saved, lost


def _is_checked(folder: Path, known: set[Path]) -> bool:
    """Whether there is a new file that passes its check: an MP4 only gets its `moov` when it is finished."""
    new = set(folder.iterdir()) - known
    return any(not path.name.startswith(".") and check(path, listen=False).ok for path in new if path.stat().st_size)


def _saved(path: Path, log: Path, pressed_s: float, took_s: float) -> Saved:
    picture, sound, truth = read_picture(path), read_sound(path), Truth.of(log)
    shown = clock_readings(picture, pressed_s)
    # Frames before the requested start, from the first key frame on, may play fast.
    shift_s = float(np.median(shown.moment_s - shown.pts_s))
    beeps_s = beep_onsets_s(sound.samples, sound.rate, sound.start_s) + shift_s
    offsets_ms = []
    for beep_s in truth.beep_s:
        near = beeps_s[np.abs(beeps_s - beep_s) < 0.2]
        if near.size:
            offsets_ms.append(float((beep_s - near[0]) * 1e3))
    return Saved(took_s, pressed_s - float(shown.moment_s[-1]), offsets_ms)


def _lost_over_saves(remote: Remote, folder: Path) -> int:
    """Save 20 clips in 20 s; return the slots lost in that time."""
    for number in range(20):
        began_s = time.monotonic()
        answer = remote.ask("clip", output=str(folder / f"many {number}.mp4"), last_s=20.0)
        time.sleep(max(0.0, 1.0 - (time.monotonic() - began_s)))
    return int(answer["video"]["dropped"])


# --- Buffers filled faster than real time


def fill_and_save(seconds: int, saves: int) -> dict[str, float]:
    """Measure a buffer of 1080p30 and AAC. `measure_filled` runs this in a separate process."""
    video = VideoEncoder("h264", WIDTH, HEIGHT, FPS, cuttable=True)
    sound = AudioEncoder("aac", 2)
    pictures: list[tuple[bytes, int, bool]] = []
    for slot in range(_ENCODED_S * FPS):
        for packet in video.encode(draw_pattern(slot / FPS, WIDTH, HEIGHT), grid_pts(slot, FPS)):
            pictures.append((bytes(packet), int(packet.pts or 0), packet.is_keyframe))
    sounds = [
        (bytes(packet), int(packet.pts or 0), int(packet.duration or 0))
        for packet in sound.encode(pattern_tone(0, _ENCODED_S * SAMPLE_RATE))
    ]
    sounds = [item for item in sounds if item[1] >= 0]
    before_mb = _resident_mb()
    buffer = ReplayBuffer(seconds, _LIMIT_BYTES, [ReplayTrack.of(video.template), ReplayTrack.of(sound.template)])

    def fill(turns: range) -> None:
        for turn in turns:
            for data, pts, is_key in pictures:
                packet = _packet(data, pts + turn * _ENCODED_S * VIDEO_TICKS_PER_S, Fraction(1, VIDEO_TICKS_PER_S))
                packet.is_keyframe = is_key
                buffer.add(0, [packet])
            for data, pts, duration in sounds:
                packet = _packet(data, pts + turn * _ENCODED_S * SAMPLE_RATE, Fraction(1, SAMPLE_RATE))
                packet.duration = duration
                buffer.add(1, [packet])

    full = seconds // _ENCODED_S + 1
    fill(range(full))
    grown_mb = _resident_mb() - before_mb
    fill(range(full, full + 3600 // _ENCODED_S))
    hour_later_mb = _resident_mb() - before_mb
    took_s = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(saves):
            path = Path(folder, f"{number}.mp4")
            began_s = time.monotonic()
            save(buffer.snapshot(seconds), path)
            report = check(path, listen=False)
            took_s.append(time.monotonic() - began_s)
            if not report.ok:
                raise ValueError(f"the clip is damaged: {report.problems}")
    return {
        "seconds": seconds,
        "save_s": statistics.median(took_s),
        "kept_mb": buffer.size_bytes / _BYTES_PER_MB,
        "grown_mb": grown_mb,
        "hour_later_mb": hour_later_mb,
    }


def _packet(data: bytes, pts: int, time_base: Fraction) -> av.Packet[Any]:
    packet: av.Packet[Any] = av.Packet(data)
    packet.pts = packet.dts = pts
    packet.time_base = time_base
    return packet


def _resident_mb() -> float:
    if sys.platform == "win32":
        raise OSError("reading memory needs /proc")
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _BYTES_PER_MB


def measure_filled(saves: int) -> list[dict[str, float]]:
    """Measure buffers of each length, each in a separate process."""
    found = []
    for seconds in _FILLED_S:
        announce(f"a buffer of {seconds} s")
        argv = [sys.executable, "-m", "benchmarks.replay", "--fill", str(seconds), "--saves", str(saves)]
        outcome = run(argv, os.environ, 600.0)
        if outcome.exit_code:
            raise RuntimeError(outcome.errors[-1000:])
        found.append(json.loads(outcome.output))
    return found


# --- Standby


def measure_first_frames(count: int) -> list[float]:
    """Return the seconds from the key press to the moment when the first frame in the file was grabbed."""
    found = []
    with tempfile.TemporaryDirectory() as folder, fresh_desk() as desk:
        remote, log = Remote(desk.environment), Path(folder, "truth.jsonl")
        stimulus = [sys.executable, "-m", "benchmarks.stimulus.flash_beep", "--clock", "--log", str(log)]
        output = Path(folder, "take.mp4")
        with started(stimulus, desk.environment), recorder(desk, "standby", str(output)):
            until(lambda: remote.state() == "standby", "standby")
            keys = Keys(desk.environment)
            for number in range(count):
                announce(f"take {number + 1}")
                path = output if number == 0 else output.with_stem(f"take ({number + 1})")
                pressed_s = keys.press("ctrl+alt+r")
                until(lambda: remote.state() == "recording", "the recording")
                time.sleep(1.5)
                keys.press("ctrl+alt+r")
                until(lambda: remote.state() == "standby", "standby")
                shown = clock_readings(read_picture(path, 10), pressed_s)
                # If a flash covers the clock in the first frame, there is nothing to read.
                found += [float(moment_s) - pressed_s for moment_s in shown.moment_s[shown.pts_s < 0.001]]
            keys.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each cost measurement (default: 60)")
    parser.add_argument("--runs", type=int, default=3, help="cost measurements of each recorder (default: 3)")
    parser.add_argument("--saves", type=int, default=10, help="number of clips (default: 10)")
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)
    add_json_option(parser)
    options = parser.parse_args()
    if options.fill is not None:
        print(json.dumps(fill_and_save(options.fill, options.saves)))
        return 0
    costs = []
    for turn in range(options.runs):
        announce(f"cost, run {turn + 1}")
        costs.append(measure_cost(options.seconds))
    saved, lost = measure_clips(options.saves)
    filled = measure_filled(options.saves)
    firsts_s = measure_first_frames(options.saves)
    return _report(options, costs, saved, lost, filled, firsts_s)


def _report(
    options: argparse.Namespace,
    costs: Sequence[tuple[float, float]],
    saved: Sequence[Saved],
    lost: int,
    filled: Sequence[Mapping[str, float]],
    firsts_s: Sequence[float],
) -> int:
    offsets_ms = [offset for each in saved for offset in each.offsets_ms]
    took_s = statistics.median(each.took_s for each in saved)
    ratio = statistics.median(ours / theirs for ours, theirs in costs)
    rows = [
        _row("CPU time, s", [ours for ours, _ in costs], 2),
        _row("ffmpeg's segment muxer, s", [theirs for _, theirs in costs], 2),
        _row("to ffmpeg", [ours / theirs for ours, theirs in costs], 2),
        _row("key press to checked file, s", [each.took_s for each in saved], 2),
        _row("last picture before the key press, s", [each.ends_before_s for each in saved], 3),
        _row("picture against sound, ms", offsets_ms, 1),
        _row("standby: key press to first frame, s", firsts_s, 3),
    ]
    rows += [[f"{each['seconds']} s: save and check, s", f"{each['save_s']:.3f}", ""] for each in filled]
    for each in filled:
        grown = f"{each['grown_mb']:.1f}, {each['hour_later_mb']:.1f}"
        rows.append([f"{each['seconds']} s: MB kept; growth, and an hour later", f"{each['kept_mb']:.1f}", grown])
    within = (
        took_s <= CLIP_BOUND_S
        and lost == 0
        and all(each["hour_later_mb"] <= MEMORY_BOUND * each["kept_mb"] + MEMORY_ALLOWANCE_MB for each in filled)
        and statistics.median(firsts_s) <= FIRST_FRAME_BOUND_S
    )
    verdict = f"{lost} slots lost over 20 saves in 20 s; {'all' if within else 'not all'} bounds are kept"
    figures = {
        "cost_s": costs,
        "cpu_to_ffmpeg": ratio,
        "clips": [asdict(each) for each in saved],
        "lost": lost,
        "filled": filled,
        "first_frame_s": firsts_s,
        "within_bounds": within,
    }
    publish(f"{table(('', 'median', 'worst'), rows)}\n\n{verdict}", figures, options.json)
    return 0 if within else 1


def _row(name: str, values: Sequence[float], digits: int) -> list[str]:
    worst = max(values, key=abs)
    return [name, f"{statistics.median(values):.{digits}f}", f"{worst:.{digits}f}"]


if __name__ == "__main__":
    sys.exit(main())
