"""Does a voice note contain the whole message and nothing else? And does the recorder obey at once?

Usage: python -m benchmarks.notes [--takes 20] [--json [FILE]]

One `capture note --repeat` records spoken messages, each with another voice, pace and text, played once by paplay.
Every file is compared with its message. A second recorder records one application while another program plays a tone.
A third one gets commands through its socket and by hotkey, and is polled until its state has changed. The exit code
is 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.decoding import read_sound
from benchmarks.desk import Desk, fresh_desk
from benchmarks.onsets import Waveform
from benchmarks.remote import Keys, Remote, recorder, until
from benchmarks.report import add_json_option, announce, publish, table

LEAD_BOUND_MS: Final = 150.0
TAIL_BOUND_MS: Final = 300.0
MATCH_BOUND: Final = 0.95
APART_BOUND_DB: Final = 60.0
ORDER_BOUND_MS: Final = 50.0
WAITING_BOUND_PERCENT: Final = 1.5

#: The message starts and ends at this level; before and after is the silence of the spoken file.
_SOUND_LEVEL: Final = 10 ** (-50 / 20)
#: Length of the blocks in which the waveform is also compared, at least that of the sound server's blocks.
_BLOCK_S: Final = 0.2
#: Blocks of the voice quieter than this are not compared.
_QUIET: Final = 1e-2
_TEXT: Final = "Message number {}. Shall we meet at half past {}? Please bring the blue folder."
_TONE_HZ: Final = 1000.0
_WAITED_S: Final = 20.0
_ORDERS: Final = 20


@dataclass(frozen=True, slots=True)
class Take:
    """One message compared with its recording."""

    lead_ms: float
    tail_ms: float
    match: float
    worst_block: float

    @property
    def is_within_bounds(self) -> bool:
        # A repeated or missing block does not correlate with the message at all.
        return (
            0 <= self.lead_ms <= LEAD_BOUND_MS
            and 0 <= self.tail_ms <= TAIL_BOUND_MS
            and self.match >= MATCH_BOUND
            and self.worst_block > 0.5
        )


def compare(played: Waveform, recorded: Waveform, rate: int) -> Take:
    """Find the message in the recording and compare them; both are mono, at `rate`."""
    loud = np.flatnonzero(np.abs(played) > _SOUND_LEVEL)
    message = played[loud[0] : loud[-1] + 1]
    if len(recorded) < len(message):
        return Take(-1.0, -1.0, 0.0, 0.0)
    size = 1 << (len(recorded) + len(message)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(recorded, size) * np.conj(np.fft.rfft(message, size)), size)
    at = int(np.argmax(correlation[: len(recorded) - len(message) + 1]))
    found = recorded[at : at + len(message)]
    # Opus encodes a voice note up to 8 kHz, but keeps the waveform exact only where its energy is.
    low_found, low_message = _low(found, rate), _low(message, rate)
    length = round(_BLOCK_S * rate)
    blocks = [
        _alike(low_found[start : start + length], low_message[start : start + length])
        for start in range(0, len(message) - length, length)
        if np.sqrt(np.mean(low_message[start : start + length] ** 2)) > _QUIET
    ]
    return Take(
        at / rate * 1e3,
        (len(recorded) - at - len(message)) / rate * 1e3,
        _alike(found, message),
        min(blocks, default=0),
    )


def _alike(one: Waveform, other: Waveform) -> float:
    return float(one @ other / np.sqrt((one @ one) * (other @ other) + 1e-20))


def _low(wave: Waveform, rate: int) -> Waveform:
    """Return the part of a wave below 3 kHz."""
    spectrum = np.fft.rfft(wave)
    spectrum[np.fft.rfftfreq(len(wave), 1 / rate) > 3000] = 0
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32)


# --- Playing messages


def speak(path: Path, number: int, text: str) -> None:
    """Write a WAV file with a spoken message; voice and pace depend on `number`."""
    voice = f"en-us+{'fm'[number % 2]}{number % 4 + 1}"
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(130 + 4 * number), "-w", path, text], check=True)


def play(desk: Desk, path: Path, name: str = "paplay") -> None:
    subprocess.run(["paplay", f"--client-name={name}", f"--device={desk.sink}", path], env=desk.environment, check=True)


# --- The measurements


def measure_takes(count: int) -> list[Take]:
    """Record `count` messages with one recorder and compare each."""
    found = []
    with tempfile.TemporaryDirectory() as folder, fresh_desk() as desk:
        remote, output = Remote(desk.environment), Path(folder, "note.ogg")
        with recorder(desk, "note", str(output), "--repeat"):
            until(lambda: remote.state() == "armed", "the recorder to wait")
            for number in range(1, count + 1):
                announce(f"message {number}")
                spoken = Path(folder, f"spoken {number}.wav")
                speak(spoken, number, _TEXT.format(number, number % 12 + 1))
                path = output if number == 1 else output.with_stem(f"note ({number})")
                play(desk, spoken)
                until(lambda path=path: path.exists() and remote.state() == "armed", path.name)  # type: ignore[misc]
                played, recorded = read_sound(spoken), read_sound(path)
                found.append(compare(at_48k(played.samples, played.rate), recorded.samples, recorded.rate))
    return found


def at_48k(wave: Waveform, rate: int) -> Waveform:
    """Resample a wave to 48 kHz exactly, through its spectrum."""
    spectrum = np.fft.rfft(wave)
    size = round(len(wave) * 48_000 / rate)
    resampled = np.fft.irfft(np.pad(spectrum, (0, size // 2 + 1 - len(spectrum))), size) * (size / len(wave))
    return resampled.astype(np.float32)


def measure_application() -> float:
    """Return how far, in dB, another program's tone is below the message in a recording of one application."""
    with tempfile.TemporaryDirectory() as folder, fresh_desk() as desk:
        remote, output, spoken = Remote(desk.environment), Path(folder, "app.wav"), Path(folder, "spoken.wav")
        speak(spoken, 1, _TEXT.format(1, 2))
        tone = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"sine={_TONE_HZ}:d=30", "-af", "volume=8", "-f", "wav"]
        subprocess.run([*tone, Path(folder, "tone.wav")], check=True)
        other = subprocess.Popen(
            ["paplay", "--client-name=other", f"--device={desk.sink}", Path(folder, "tone.wav")], env=desk.environment
        )
        try:
            with recorder(desk, "record", str(output), "--audio", "app:messenger", "--no-hotkeys"):
                until(lambda: remote.state() == "recording", "the recorder")
                play(desk, spoken, "messenger")
                remote.ask("stop")
        finally:
            other.terminate()
            other.wait()
        samples = read_sound(output).samples
        # The energy of the whole file at 1 kHz, in a band narrower than any voice, is an upper bound for the tone.
        window = np.hanning(len(samples))
        turns = np.exp(-2j * np.pi * _TONE_HZ / 48_000 * np.arange(len(samples)))
        tone_level = 2 * abs(np.sum(samples * window * turns)) / window.sum()
        return float(20 * np.log10(np.sqrt(np.mean(samples**2)) / max(tone_level / np.sqrt(2), 1e-9)))


def measure_orders() -> tuple[list[float], list[float]]:
    """Return the milliseconds from a command to its effect: through the socket, and by hotkey."""
    by_socket, by_key = [], []
    with tempfile.TemporaryDirectory() as folder, fresh_desk() as desk:
        remote = Remote(desk.environment)
        with recorder(desk, "record", str(Path(folder, "long.ogg"))):
            until(lambda: remote.state() == "recording", "the recorder")
            for number in range(_ORDERS):
                wanted = "recording" if number % 2 else "paused"
                asked_s = time.monotonic()
                state = remote.ask("toggle_pause")["state"]
                by_socket.append((time.monotonic() - asked_s) * 1e3)
                if state != wanted:
                    raise ValueError(f"the state is {state}, expected {wanted}")
            keys = Keys(desk.environment)
            for number in range(_ORDERS):
                wanted = "recording" if number % 2 else "paused"
                pressed_s = keys.press("ctrl+alt+p")
                by_key.append((until(lambda wanted=wanted: remote.state() == wanted, wanted) - pressed_s) * 1e3)  # type: ignore[misc]
                time.sleep(0.05)
            keys.close()
    return by_socket, by_key


def measure_waiting() -> float:
    """Return the CPU use of an armed note in percent of a core."""
    with tempfile.TemporaryDirectory() as folder, fresh_desk() as desk:
        remote = Remote(desk.environment)
        with recorder(desk, "note", str(Path(folder, "never.ogg"))) as process:
            until(lambda: remote.state() == "armed", "the recorder to wait")
            before_s = _cpu_s(process.pid)
            time.sleep(_WAITED_S)
            return (_cpu_s(process.pid) - before_s) / _WAITED_S * 100


def _cpu_s(pid: int) -> float:
    if sys.platform == "win32":
        raise OSError("reading CPU time needs /proc")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takes", type=int, default=20, help="number of messages (default: %(default)s)")
    add_json_option(parser)
    options = parser.parse_args()
    takes = measure_takes(options.takes)
    announce("one application next to another")
    apart_db = measure_application()
    announce("commands and hotkeys")
    by_socket, by_key = measure_orders()
    announce("waiting")
    waiting_percent = measure_waiting()
    kept = sum(take.is_within_bounds for take in takes)
    rows = [
        _row("silence before the message, ms", [take.lead_ms for take in takes], f"at most {LEAD_BOUND_MS:g}"),
        _row("silence after it, ms", [take.tail_ms for take in takes], f"at most {TAIL_BOUND_MS:g}"),
        _row("match of the waveform", [take.match for take in takes], f"at least {MATCH_BOUND:g}", min, 3),
        _row(f"match of its worst {_BLOCK_S:g} s", [take.worst_block for take in takes], "at least 0.5", min, 3),
        _row("another program's tone below the message, dB", [apart_db], f"at least {APART_BOUND_DB:g}", min),
        _row("a command through the socket, ms", by_socket, f"at most {ORDER_BOUND_MS:g}"),
        _row("a hotkey, ms", by_key, f"at most {ORDER_BOUND_MS:g}"),
        _row("waiting, % of a core", [waiting_percent], f"at most {WAITING_BOUND_PERCENT:g}", max, 2),
    ]
    within = (
        kept == len(takes)
        and apart_db >= APART_BOUND_DB
        and max(*by_socket, *by_key) <= ORDER_BOUND_MS
        and waiting_percent <= WAITING_BOUND_PERCENT
    )
    verdict = f"{kept} of {len(takes)} messages are complete; {'all' if within else 'not all'} bounds are kept"
    figures = {
        "takes": [asdict(take) for take in takes],
        "apart_db": apart_db,
        "by_socket_ms": by_socket,
        "by_key_ms": by_key,
        "waiting_percent": waiting_percent,
        "within_bounds": within,
    }
    publish(f"{table(('', 'median', 'worst', 'bound'), rows)}\n\n{verdict}", figures, options.json)
    return 0 if within else 1


def _row(
    name: str, values: list[float], bound: str, worst: Callable[[list[float]], float] = max, digits: int = 1
) -> list[str]:
    return [name, f"{statistics.median(values):.{digits}f}", f"{worst(values):.{digits}f}", bound]


if __name__ == "__main__":
    sys.exit(main())
