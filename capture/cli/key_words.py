"""Names the hotkeys in help texts: those that the user set."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["with_keys"]

_HOTKEY: Final = re.compile(r"\{(record|pause|discard|clip|mark)\}")


def with_keys(text: str, percent: str = "%") -> str:
    """Return `text` with the user's key in place of each `{record}`, `{pause}` and so on.

    `percent` is the sign as it is written in such a text: argparse formats the help of options once more.
    """
    if "{" not in text:
        return text
    # Imported here because few help texts name a key.
    from capture.config.settings_file import keys_at_a_glance

    keys = keys_at_a_glance()

    def key_of(found: re.Match[str]) -> str:
        return keys[found[1]].replace("%", percent) or f"the key hotkeys.{found[1]} (not set)"

    return _HOTKEY.sub(key_of, text)
