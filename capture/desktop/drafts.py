"""Writes a mail with a file attached, for a mail program to open as a draft."""

from __future__ import annotations

import base64
import mimetypes
import os
import secrets
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime
from pathlib import Path
from typing import Final

from capture.errors import OutputError
from capture.output.letters import text_of_name
from capture.system.private_files import make_folder

__all__ = ["write_draft"]

#: How many earlier drafts stay: a mail program may still read them.
_KEPT: Final = 2

#: A line of base64 has 57 bytes.
_BYTES_AT_ONCE: Final = 57 * 1024


def write_draft(path: Path, folder: Path | None = None) -> Path:
    """Write a mail without sender and receiver that has the file at `path` attached; return where.

    It is in `folder`, by default one in the user's cache, where all but the latest few are removed. `X-Unsent` makes
    mail programs open it as a draft; where they do not know that, they show it, and can forward it.

    Raises `OutputError` when it cannot be written, or `path` cannot be read.
    """
    if folder is None:
        # Imported here because only a default folder needs it.
        import platformdirs

        folder = platformdirs.user_cache_path("capture") / "drafts"
    try:
        make_folder(folder)
        _remove_old(folder)
        made = folder / f"{secrets.token_hex(8)}.eml"
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            with os.fdopen(descriptor, "wb") as draft, path.open("rb") as file:
                boundary = secrets.token_hex(16)
                draft.write(_head(path, boundary))
                while part := file.read(_BYTES_AT_ONCE):
                    draft.write(base64.encodebytes(part).replace(b"\n", b"\r\n"))
                draft.write(f"--{boundary}--\r\n".encode())
        except BaseException:
            made.unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"a draft with {path} cannot be written ({reason})", "check the free space") from error
    return made


def _remove_old(folder: Path) -> None:
    drafts = []
    for draft in folder.glob("*.eml"):
        # Another process may remove old ones, too.
        with suppress(FileNotFoundError):
            drafts.append((draft.stat().st_mtime_ns, draft))
    for _, draft in sorted(drafts)[: max(0, len(drafts) - _KEPT)]:
        with suppress(OSError):
            draft.unlink()


def _head(path: Path, boundary: str) -> bytes:
    """Return the mail up to the bytes of the file."""
    name = text_of_name(path.name)
    mail = EmailMessage(SMTP)
    # First: programs that know files by their content, such as `file`, take one that begins otherwise for text.
    mail["Date"] = localtime()
    mail["Subject"] = Path(name).stem
    mail["X-Unsent"] = "1"
    mail["MIME-Version"] = "1.0"
    mail["Content-Type"] = f'multipart/mixed; boundary="{boundary}"'
    text = EmailMessage(SMTP)
    text["Content-Type"] = 'text/plain; charset="utf-8"'
    attached = EmailMessage(SMTP)
    attached["Content-Type"] = mimetypes.guess_type(name)[0] or "application/octet-stream"
    attached["Content-Transfer-Encoding"] = "base64"
    attached.add_header("Content-Disposition", "attachment", filename=name)
    start = f"--{boundary}\r\n".encode()
    return _headers(mail) + start + _headers(text) + b"\r\n" + start + _headers(attached)


def _headers(part: EmailMessage) -> bytes:
    """Return the headers of a part, up to its content. Its `bytes` would have an end as well."""
    return b"".join(SMTP.fold_binary(name, value) for name, value in part.items()) + b"\r\n"
