"""What recordings are exported for: the kinds of files that services, mailboxes and programs take. Loads no library."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

__all__ = ["PRESETS", "Preset"]


class Preset(NamedTuple):
    """What one kind of export needs. The first of its endings is the default."""

    #: What it makes, for the user.
    text: str
    #: The extensions of files with a picture, and of those of sound alone; none where there are no such files.
    endings: tuple[str, ...] = ()
    sound_endings: tuple[str, ...] = ()
    #: The largest file, and whose rule that is.
    most_bytes: int | None = None
    limit_by: str = ""
    #: The largest picture: its longer and its shorter side. A smaller one stays as it is.
    most_size: tuple[int, int] | None = None
    #: What players of the first track alone would not play is mixed into it.
    mixes_tracks: bool = True
    loudness_lufs: float | None = None
    #: Whether its players show frames that are stored in another order.
    takes_b_frames: bool = True
    #: As messengers encode voice notes.
    voice: bool = False
    #: A constant rate, BT.709, a key frame in each second, and more bytes.
    for_editing: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "formats": [*self.endings, *self.sound_endings],
            "max_bytes": self.most_bytes,
            "limit_by": self.limit_by or None,
            "max_size": None if self.most_size is None else list(self.most_size),
            "loudness_lufs": self.loudness_lufs,
        }


#: The presets by name. Limits as of November 2026.
PRESETS: Final[dict[str, Preset]] = {
    "voice-note": Preset(
        "a voice note as messengers send it: Ogg with Opus, one channel at 16 kHz",
        sound_endings=("ogg", "opus"),
        voice=True,
    ),
    # Meta's list of media types for the WhatsApp Cloud API: 16 MB for video and audio, H.264 and AAC, at most one audio
    # track. Its clients for Android play no B-frames in the high profile; `reencoded_picture` writes none.
    "whatsapp": Preset(
        "a video or sound that WhatsApp plays in the chat: H.264 and AAC, up to 1280x720",
        endings=("mp4",),
        sound_endings=("m4a", "mp3"),
        most_bytes=16_000_000,
        limit_by="WhatsApp, for media",
        most_size=(1280, 720),
        takes_b_frames=False,
    ),
    # Since September 2024, for accounts that do not pay.
    "discord": Preset(
        "a video or sound that Discord plays in the chat, for free accounts: H.264 and AAC",
        endings=("mp4",),
        sound_endings=("m4a", "mp3"),
        most_bytes=10_000_000,
        limit_by="Discord, for free accounts",
        most_size=(1920, 1080),
    ),
    # Mailboxes take messages of 20 MB (Outlook.com) or 25 MB (Gmail), and attachments are a third larger there: base64.
    "email": Preset(
        "an attachment: H.264 and AAC, up to 1280x720",
        endings=("mp4",),
        sound_endings=("m4a", "mp3"),
        most_bytes=14_000_000,
        limit_by="mailboxes of 20 MB, where attachments are a third larger",
        most_size=(1280, 720),
    ),
    "web": Preset(
        "a file that every browser plays while it still loads: H.264 and AAC, or WebM",
        endings=("mp4", "webm"),
        sound_endings=("m4a", "mp3"),
    ),
    "editor": Preset(
        "for video editors: a constant frame rate, BT.709, a key frame in each second; all audio tracks",
        endings=("mp4", "mov", "mkv"),
        sound_endings=("wav", "flac"),
        mixes_tracks=False,
        for_editing=True,
    ),
    # Apple asks podcasts for -16 LUFS, with peaks below -1 dBTP.
    "podcast": Preset(
        "sound at the loudness of podcasts, -16 LUFS",
        sound_endings=("mp3", "m4a"),
        loudness_lufs=-16.0,
    ),
    "gif": Preset(
        "pictures without sound that play by themselves: up to 800 pixels wide, 15 in a second",
        endings=("gif", "webp"),
        most_size=(800, 800),
    ),
}
