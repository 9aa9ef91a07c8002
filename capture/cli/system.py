"""The verbs that inspect this machine: devices, doctor."""

from __future__ import annotations

import sys
from typing import Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import printable
from capture.strict_json import to_json

__all__ = ["VERBS"]


def _devices(arguments: Arguments) -> int:
    from capture.desktop.devices import describe_devices

    found, missing = describe_devices()
    if arguments.json:
        print(to_json(found))
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
    from capture.desktop.doctor import diagnose

    diagnosis = diagnose()
    if arguments.json:
        print(to_json(diagnosis.as_json()))
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
