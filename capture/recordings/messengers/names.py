"""Recognises the voice notes of messengers by their names, and reads from these when they were sent.

No messenger documents its names; these are the ones that their programs were seen to write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

__all__ = ["Recognised", "is_attachment", "recognise"]


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
        # As signal-export writes the attachments that have no name, which are voice messages.
        ("Signal", rf"{_DAY}T{_CLOCK}(?:\.\d+)?_\d+_(?:None)?", True),
        # Messages on iPhones and Macs. Its own program writes English names everywhere.
        ("iMessage", r"Audio Message(?: \d+)?", True),
        ("Voice Memos", r"New Recording(?: \d+)?", True),
        (
            "Voice Memos",
            r"(?P<year>20\d\d)(?P<month>\d\d)(?P<day>\d\d) "
            r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)(?:-[0-9A-F]{8})?",
            True,
        ),
        # What one downloads of one's own, from Facebook and from Instagram. Browsers may add another extension.
        ("Messenger", r"audioclip-?(?P<ms>1\d{12})(?:-\d+)*(?:\.mp4)?", True),
        ("Messenger", r"audioclip-\d+(?:-\d+)*(?:\.mp4)?", True),
    )
)

#: The messenger, by a word in the name of a folder above the file.
_FOLDERS: Final = {
    "whatsapp": "WhatsApp",
    "telegram": "Telegram",
    "voice_messages": "Telegram",
    "signal": "Signal",
    "viber": "Viber",
    "micromsg": "WeChat",
    "wechat": "WeChat",
    "instagram": "Instagram",
}

#: Where Signal Desktop keeps what came with messages, under such names.
_SIGNAL_DESKTOP: Final = "attachments.noindex"
_ATTACHMENT: Final = re.compile("[0-9a-f]{64}")


def recognise(stem: str, folders: Sequence[str] = ()) -> Recognised:
    """Return what the name of a file without its extension says, and the names of the `folders` above it."""
    above = " ".join(folders).lower()
    by_folder = next((messenger for word, messenger in _FOLDERS.items() if word in above), "")
    for messenger, pattern, is_certain in _NAMES:
        found = pattern.fullmatch(stem)
        if found is not None and (times := _times(found.groupdict())) is not None:
            # Two programs of one maker use the same names.
            messenger = by_folder if (messenger, by_folder) == ("Messenger", "Instagram") else messenger
            return Recognised(messenger, *times, found.groupdict().get("mark") or "", is_certain)
    return Recognised(by_folder)


def is_attachment(name: str, folders: Sequence[str]) -> bool:
    """Whether a file is one of those of Signal Desktop, whose names say nothing about what is in them."""
    return _SIGNAL_DESKTOP in folders and _ATTACHMENT.fullmatch(name) is not None


def _times(parts: dict[str, str | None]) -> tuple[datetime | None, datetime | None] | None:
    """Return the first moment that a name means, and the first after it, or twice None for one without a date.

    Return None if there is no such date.
    """
    if parts.get("ms"):
        since = datetime.fromtimestamp(int(parts["ms"] or 0) // 1000)
        return since, since + timedelta(seconds=1)
    if "year" not in parts:
        return None, None
    numbers = {name: int(parts.get(name) or 0) for name in ("year", "month", "day", "hour", "minute", "second")}
    half = (parts.get("half") or "").upper()
    if half:
        numbers["hour"] = numbers["hour"] % 12 + (12 if half == "PM" else 0)
    try:
        since = datetime(**numbers)  # type: ignore[arg-type]
        return since, since + timedelta(seconds=1) if parts.get("hour") else since + timedelta(days=1)
    except (ValueError, OverflowError):
        return None
