"""The verbs that inspect this machine: devices, doctor."""

from __future__ import annotations

from typing import Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import complain, printable, write, write_json

__all__ = ["VERBS"]


def _devices(arguments: Arguments) -> int:
    from capture.desktop.devices import describe_devices

    found, missing = describe_devices()
    if arguments.json:
        write_json(found)
    else:
        for kind, entries in found.items():
            write(f"{kind}:" + ("" if entries else " none"))
            for entry in entries:
                write("  " + "  ".join(_shown(name, value) for name, value in entry.items()))
    for text in missing:
        complain(text)
    return 3 if missing and not any(found.values()) else 0


def _shown(name: str, value: Any) -> str:
    text = f"{name}={value}" if not isinstance(value, bool) else (name if value else f"not {name}")
    return printable(text)


def _doctor(arguments: Arguments) -> int:
    from capture.config.store import hotkeys, load
    from capture.desktop.doctor import Check, Diagnosis, diagnose
    from capture.errors import UsageError

    try:
        config = load()
        folders = [config.folder_for(ending) for ending in ("mp4", "ogg")]
        diagnosis = diagnose(hotkeys(config), config.hold, str(config["backup.remote"]), folders)
    except UsageError as error:
        broken = Check("settings", False, error.message, error.remedy)
        diagnosis = Diagnosis((*diagnose().checks, broken))
    if arguments.json:
        write_json(diagnosis.as_json())
    else:
        for item in diagnosis.checks:
            write(printable(f"{'ok ' if item.ok else 'NO '} {item.name}: {item.found}"))
            if item.remedy:
                write(printable(f"    → {item.remedy}"))
        write("ready to record" if diagnosis.ready else "not ready to record")
    return 0 if diagnosis.ready else 3


VERBS: Final[dict[str, Verb]] = {
    "devices": _devices,
    "doctor": _doctor,
}
