"""Opens the user's mail program on a draft that has a file attached, in the way that this program is known to accept.

Mail programs ignore what they do not understand, and open a mail without the file. The portal of Debian 12 for GTK
names files in a way that Thunderbird and Claws Mail do not know, and says that all is well; so it comes last among the
ways that hand over a path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from capture.desktop.drafts import write_draft
from capture.desktop.portal_mail import mail_by_portal
from capture.desktop.programs import begins, has_desktop, open_with_desktop, open_with_program
from capture.errors import NotReadyError
from capture.output.letters import text_of_name

__all__ = ["open_draft"]

#: Words in the ids of mail programs that take a file from `xdg-email --attach`.
_BY_XDG_EMAIL: Final = ("evolution", "kmail", "claws")

#: Those that open a mail with `X-Unsent` as a draft. `xdg-email` breaks names with a comma or a quote for them.
_BY_DRAFT: Final = ("thunderbird", "icedove", "betterbird")

#: What mail programs open: addresses, and mails in files.
_ADDRESSES: Final = "x-scheme-handler/mailto"
_MAILS: Final = "message/rfc822"

_LIMIT_S: Final = 5.0


def open_draft(path: Path) -> bool:
    """Open a mail with the file at `path` attached; return whether the mail program is known to attach it.

    Returns when the desktop has taken it. Raises `NotReadyError` if there is no mail program, `CaptureError` if the
    user closes the desktop's dialog, `OutputError` if the draft cannot be written.
    """
    program: str | None = None
    if sys.platform not in ("win32", "darwin") and has_desktop():
        program = _program_for(_ADDRESSES)
        subject = text_of_name(path.stem)
        if _is_one_of(program, _BY_XDG_EMAIL) and str(path).isprintable():
            if begins(["xdg-email", "--utf8", "--subject", subject, "--attach", str(path)]):
                return True
        elif not _is_one_of(program, _BY_DRAFT) and mail_by_portal(path, subject, os.environ):
            return False
        # The desktop would open the draft in a browser.
        if not _is_one_of(program, _BY_DRAFT) and _program_for(_MAILS) == "":
            raise NotReadyError("there is no mail program here that takes a file", "install one, such as Thunderbird")
    draft = write_draft(path)
    try:
        if _is_one_of(program, _BY_DRAFT):
            with suppress(NotReadyError):
                open_with_program(draft, program or "")
                return True
        open_with_desktop(draft)
    except NotReadyError as error:
        draft.unlink(missing_ok=True)
        raise NotReadyError("no mail program opened the draft", error.remedy) from error
    return True


def _program_for(kind: str) -> str | None:
    """Return the id of the program that the desktop has for a kind of content; "" for none, None if that is unknown."""
    if shutil.which("xdg-mime") is not None:
        with suppress(OSError, subprocess.TimeoutExpired):
            found = subprocess.run(
                ["xdg-mime", "query", "default", kind],
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_LIMIT_S,
            )
            return found.stdout.strip()
    return None


def _is_one_of(program: str | None, words: tuple[str, ...]) -> bool:
    return any(word in (program or "").lower() for word in words)
