"""The verbs that look at this machine: devices, doctor."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import printable

if TYPE_CHECKING:
    pass

__all__ = ["VERBS"]


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
        print(printable(f"capture: {text}"), file=sys.stderr)
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
        diagnosis = diagnose(hotkeys(config), config.hold)
    except UsageError as error:
        broken = Check("settings", False, error.message, error.remedy)
        diagnosis = Diagnosis((*diagnose().checks, broken))
    if arguments.json:
        print(json.dumps(diagnosis.as_json()))
    else:
        for item in diagnosis.checks:
            print(printable(f"{'ok ' if item.ok else 'NO '} {item.name}: {item.found}"))
            if item.remedy:
                print(printable(f"    → {item.remedy}"))
        print("ready to record" if diagnosis.ready else "not ready to record")
    return 0 if diagnosis.ready else 3


VERBS: Final[dict[str, Verb]] = {
    "devices": _devices,
    "doctor": _doctor,
}
