"""Recognises the voice notes of messengers by their names, and reads from these when they were sent.

No messenger documents its names; these are the ones that their programs were seen to write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

__all__ = ["Recognised", "recognise"]


class Recognised(NamedTuple):
    """What the name of a file says. Times are local; both are None where the name has none."""

    #: "" if only the content can tell whether it is a voice note at all.
    messenger: str
    #: It was sent from then on, and before `until`.
    since: datetime | None = None
    until: datetime | None = None
    #: What tells the notes of one day apart in names without a time.
    mark: str = ""
    #: Whether it is a voice note whatever it contains; otherwise it is one if it sounds like one.
    is_certain: bool = False


_DAY: Final = r"(?P<year>20\d\d)-?(?P<month>\d\d)-?(?P<day>\d\d)"
_CLOCK: Final = r"(?P<hour>\d\d)[-.]?(?P<minute>\d\d)[-.]?(?P<second>\d\d)"

#: Browsers number files of the same name.
_COPY: Final = r"(?: ?\(\d+\))?"

#: The messenger, its names without the extension, and whether all files with such a name are voice notes.
_NAMES: Final = tuple(
    (messenger, re.compile(pattern + _COPY, re.ASCII | re.IGNORECASE), is_certain)
    for messenger, pattern, is_certain in (
        # On the phone, and in chats that Android exports.
        ("WhatsApp", rf"PTT-{_DAY}-(?P<mark>WA\d+)", True),
        # Music has such a name too, and forwarded voice notes.
        ("WhatsApp", rf"AUD-{_DAY}-(?P<mark>WA\d+)", False),
        # In chats that an iPhone exports.
        ("WhatsApp", rf"\d+-(?:AUDIO|PTT)-{_DAY}-{_CLOCK}", True),
        # Saved by the desktop's program and in the browser.
        ("WhatsApp", rf"WhatsApp (?:Ptt|Audio) {_DAY} at {_CLOCK}(?: (?P<half>[AP]M))?", True),
        # In chats that Telegram Desktop exports, and saved by it.
        ("Telegram", rf"audio_\d+@(?P<day>\d\d)-(?P<month>\d\d)-(?P<year>20\d\d)_{_CLOCK}", True),
        ("Telegram", rf"audio_{_DAY}_{_CLOCK}", True),
        ("Signal", rf"signal-{_DAY}-{_CLOCK}(?:-\d+)*", True),
    )
)

#: The messenger, by a word in the name of a folder above the file.
_FOLDERS: Final = {"whatsapp": "WhatsApp", "telegram": "Telegram", "voice_messages": "Telegram", "signal": "Signal"}


def recognise(stem: str, folders: Sequence[str] = ()) -> Recognised:
    """Return what the name of a file without its extension says, and the names of the `folders` above it."""
    for messenger, pattern, is_certain in _NAMES:
        found = pattern.fullmatch(stem)
        if found is not None and (times := _times(found.groupdict())) is not None:
            return Recognised(messenger, *times, found.groupdict().get("mark") or "", is_certain)
    above = " ".join(folders).lower()
    return Recognised(next((messenger for word, messenger in _FOLDERS.items() if word in above), ""))


def _times(parts: dict[str, str | None]) -> tuple[datetime, datetime] | None:
    """Return the first moment that a name means, and the first after it; None if there is no such date."""
    numbers = {name: int(parts.get(name) or 0) for name in ("year", "month", "day", "hour", "minute", "second")}
    half = (parts.get("half") or "").upper()
    if half:
        numbers["hour"] = numbers["hour"] % 12 + (12 if half == "PM" else 0)
    try:
        since = datetime(**numbers)  # type: ignore[arg-type]
        return since, since + timedelta(seconds=1) if parts.get("hour") else since + timedelta(days=1)
    except (ValueError, OverflowError):
        return None
