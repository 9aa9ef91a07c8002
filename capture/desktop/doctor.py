"""Checks whether recording will work on this machine, and suggests a remedy for each problem."""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from capture.desktop.rclone import Rclone
from capture.errors import CaptureError, NotReadyError, UsageError
from capture.events import Command, EventKind
from capture.media import SILENCE_DBFS, bounded, peak_dbfs
from capture.output.naming import recordings_folder
from capture.sources.chooser import list_audio_devices
from capture.sources.sound_devices import SoundDevice, choose_device
from capture.system.desktop_kind import has_wayland_desktop
from capture.triggers.bindings import DEFAULT_HOTKEYS, readable_keys

__all__ = ["Check", "Diagnosis", "diagnose"]

#: How long to listen for sound. An output that has never been used delivers its first samples after two seconds.
_LISTEN_S: Final = 2.5

#: Free space below which to warn: enough for half an hour of a lively screen.
_FREE_BYTES: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `remedy` is empty when it passed."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The results of all checks; `ready` when all passed, so that `capture record` will work."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        return {"ready": self.ready, "checks": [asdict(check) for check in self.checks]}


def diagnose(
    bindings: Mapping[str, Command] = DEFAULT_HOTKEYS,
    hold: str | None = None,
    backup_remote: str = "",
    folders: Sequence[Path] | None = None,
) -> Diagnosis:
    """Check everything a recording needs, the hotkeys, and whether recordings can be copied to `backup_remote`, if any.

    `folders` are where recordings without a name go. Records nothing, but listens to the default output for up to
    2.5 s.
    """
    places = [recordings_folder(ending) for ending in ("mp4", "ogg")] if folders is None else folders
    checks: list[Check] = []
    backup = partial(_backup, backup_remote)
    for group in (_display, _encoder, _sound, partial(_folders, places), partial(_hotkeys, bindings, hold), backup):
        checks.extend(group())
    return Diagnosis(tuple(checks))


def _examined(name: str, look: Callable[[], str]) -> Check:
    """Return the result of `look`, which returns what it found or raises `CaptureError` with a remedy."""
    try:
        return Check(name, True, look())
    except CaptureError as error:
        return Check(name, False, error.message, error.remedy)


def _display() -> Iterable[Check]:
    def look() -> str:
        from capture.sources.screens import is_wayland, list_screens
        from capture.sources.wayland.chooser import list_given_outputs

        if is_wayland() and not list_given_outputs():
            from capture.sources.portal.chooser import describe

            return describe()
        return ", ".join(f"{screen.name} {screen.area}" for screen in list_screens())

    yield _examined("display", look)


def _encoder() -> Iterable[Check]:
    def look() -> str:
        from capture.codecs.encoder_choice import choose_encoder
        from capture.codecs.video_encoder import VideoEncoder

        name, _ = choose_encoder("h264", "auto", 640, 480, 30.0)
        VideoEncoder("h264", 640, 480, 30.0, encoder=name).finish()
        return name

    yield _examined("encoder", look)


def _sound() -> Iterable[Check]:
    devices: list[SoundDevice] = []

    def look_for_server() -> str:
        devices.extend(list_audio_devices())
        return "1 device" if len(devices) == 1 else f"{len(devices)} devices"

    server = _examined("sound server", look_for_server)
    yield server
    if not server.ok:
        return

    def look_for_output() -> str:
        output = choose_device(devices, "internal")
        if output.attenuation.is_muted:
            raise NotReadyError(f"{output.attenuation.reason} and would record as silence", "unmute it or turn it up")
        return _name_with_volume(output)

    output = _examined("internal audio", look_for_output)
    yield output
    if output.ok:
        yield _examined("sound arrives", lambda: _listen(choose_device(devices, "internal")))
    yield _microphone(devices)


def _microphone(devices: list[SoundDevice]) -> Check:
    """Look at the default microphone. Only `--audio mic` needs it, so the check reports a problem but does not fail."""
    try:
        microphone = choose_device(devices, "mic")
    except NotReadyError:
        return Check("microphone", True, "none: --audio mic would have nothing to record")
    if microphone.attenuation.is_muted:
        return Check("microphone", True, f"{microphone.attenuation.reason}: --audio mic would record silence")
    return Check("microphone", True, _name_with_volume(microphone))


def _name_with_volume(device: SoundDevice) -> str:
    if device.attenuation.is_low:
        quieter_db = -20 * math.log10(device.attenuation.gain)
        return f"{device.attenuation.reason}: recordings are {quieter_db:.0f} dB quieter; turn it up"
    return device.name if device.volume_percent is None else f"{device.name}, at {device.volume_percent} %"


def _listen(device: SoundDevice) -> str:
    """Distinguish silence, which arrives as zeros, from a device that delivers nothing. Raises `NotReadyError` then."""
    if sys.platform != "linux":
        return "not tested on this system"
    from capture.sources.pulse.device_source import PulseSource

    source = PulseSource("internal", device.name, device.channels)
    try:
        source.open()
        until_s = time.monotonic() + _LISTEN_S
        while (samples := source.read(until_s)) is not None and not len(samples.data):
            # A block without samples means that none can come just now. Wait on.
            pass
        if samples is None:
            raise NotReadyError(
                f"{device.name} delivers no samples", "play something; if that does not help, restart the sound server"
            )
        level = peak_dbfs(float(abs(bounded(samples.data)[0]).max()))
    finally:
        source.close()
    return "yes; nothing is playing now" if level <= SILENCE_DBFS else f"yes, at {math.floor(level)} dB"


def _folders(folders: Sequence[Path]) -> Iterable[Check]:
    def look() -> str:
        # One is enough where both are the same.
        return "; ".join(map(look_at, dict.fromkeys(folders)))

    def look_at(folder: Path) -> str:
        # `Path.exists` raises where a folder may not be looked into.
        there = next(path for path in (folder, *folder.parents) if os.path.exists(path))  # noqa: PTH110
        if not os.access(there, os.W_OK):
            raise UsageError(f"cannot write to {folder}", "change its permissions, or name an OUTPUT elsewhere")
        free_bytes = shutil.disk_usage(there).free
        if free_bytes < _FREE_BYTES:
            raise NotReadyError(f"{folder} has only {free_bytes / 1e9:.1f} GB left", "free some space")
        return f"{folder}, {free_bytes / 1e9:.0f} GB free"

    yield _examined("recordings folder", look)


def _backup(remote: str) -> Iterable[Check]:
    """Look for rclone. Recordings wait for their copy without it, so the check reports that but does not fail."""
    if not remote:
        return
    try:
        Rclone(remote)
    except NotReadyError as error:
        yield Check("backup", True, f"{error.message}, so recordings wait for their copy; {error.remedy}")
    else:
        yield Check("backup", True, f"rclone copies recordings to {remote}")


def _hotkeys(bindings: Mapping[str, Command], hold: str | None) -> Iterable[Check]:
    """Try the hotkeys. They are a convenience, so the check reports a problem but does not fail."""
    from capture.triggers.hotkeys import Hotkeys

    if not bindings and hold is None:
        yield Check("hotkeys", True, "none are set")
        return
    if has_wayland_desktop(os.environ):
        yield Check("hotkeys", True, _portal_hotkeys(bindings))
        return
    hotkeys = Hotkeys(bindings, hold)
    try:
        hotkeys.start(lambda command, given_by, **more: None)
    except NotReadyError as error:
        yield Check("hotkeys", True, f"not available ({error.message}); {error.remedy}")
    else:
        key = readable_keys(bindings).get(Command.TOGGLE)
        works = f"{key} starts and stops a recording" if key else "they work; none starts and stops a recording"
        notes = [detail for kind, detail in hotkeys.notes]
        stops = all(kind is not EventKind.NO_HOTKEYS for kind, detail in hotkeys.notes)
        yield Check("hotkeys", True, "; ".join([works, *notes] if stops else notes))
    finally:
        hotkeys.stop()


def _portal_hotkeys(bindings: Mapping[str, Command]) -> str:
    """Look whether the desktop gives keys, without asking for any: it would ask the user."""
    from capture.desktop.key_bindings import are_bound
    from capture.triggers.desktop_keys import where_to_set
    from capture.triggers.portal_hotkeys import describe

    try:
        return describe(os.environ)
    except NotReadyError as error:
        if are_bound(os.environ):
            return "the desktop's settings have keys that run capture"
        key = next(
            (text for text, command in bindings.items() if command is Command.TOGGLE), next(iter(DEFAULT_HOTKEYS))
        )
        return f"not available on Wayland ({error.message}); {where_to_set(key, os.environ)}"
