"""What `--help` says of each verb. `{record}` is the key that the user set for `hotkeys.record`, and so on."""

from __future__ import annotations

from typing import Final

__all__ = [
    "AFTER_SAVE",
    "BACKUP",
    "CHECK",
    "CLIP",
    "COMPLETION",
    "CONFIG",
    "CONFIG_USAGE",
    "CONVERT",
    "EXPORT",
    "HEADLESS",
    "IMPORT",
    "JOIN",
    "LIST",
    "NAME",
    "NOTE",
    "OPEN",
    "PLAY",
    "RECORD",
    "REMOTE_VERBS",
    "REPAIR",
    "REPLAY",
    "SHARE",
    "SPEECH",
    "STANDBY",
    "TRANSCRIBE",
    "TRIM",
]

RECORD = (
    "Record the screen and the internal audio until Ctrl+C, {record} or --duration. The extension of OUTPUT selects "
    "the format: .mp4 .mov .mkv .webm with picture, .ogg .opus .m4a .mp3 .flac .wav for sound alone."
)

HEADLESS = (
    "Run COMMAND on a private virtual desktop with its own screen and sound, and record it until it ends. For machines "
    "without a screen."
)

NOTE = (
    "Record sound alone, from when it starts until it ends, in the format of a messenger's voice note (Ogg/Opus). With "
    "--hold, record while a key is held instead."
)

STANDBY = (
    "Open the devices and wait. {record}, or capture toggle and capture stop from any terminal, start and stop any "
    "number of recordings, each in its own file. Between recordings nothing is encoded or kept, unless you give "
    "--replay."
)

REPLAY = (
    "Keep the last minute of picture and sound in memory. {clip}, or capture clip from any terminal, saves it as a "
    "file. {record} starts and stops recordings, as in standby."
)

LIST = (
    "List the recordings in your recordings folders, newest first. Other verbs take the number of a recording, or last "
    "for the newest finished one, in place of a file. ✓ means that the file is complete by its headers; capture check "
    "reads all of it."
)

BACKUP = (
    "Copy every complete recording that has no copy yet to the place that backup.remote names, with rclone. What "
    "cannot be copied waits: the next backup tries again, and so do standby and replay. Recordings are backed up when "
    "they are saved, too."
)

AFTER_SAVE = "run this after each saved file; {path} is its path, and its JSON summary comes on standard input"

SPEECH = "count only speech as sound, not beeps or music (needs the extra [speech])"

TRANSCRIBE = (
    "Write what is said in a recording into a text file and a subtitle file (.srt) beside it, with a speech model of "
    "whisper.cpp on this machine. capture list --text finds the words. The model is a file that you download; nothing "
    "is sent anywhere."
)

IMPORT = (
    "List the voice notes of WhatsApp, Telegram, Signal, Messages and others in a folder, such as that of a mounted "
    "phone, or in the zip of an exported chat, newest first. Nothing is copied or unpacked for that. With --copy, "
    "bring them into your recordings folder under names with their dates, once each. A zip that was built to do harm "
    "is refused."
)

PLAY = (
    "Play a recording: sound here, a picture in the desktop's own player. Space pauses, the left and right arrows go "
    "5 s back and forth, s changes the speed, q ends."
)

OPEN = "Show a recording in the desktop's file manager."

REPAIR = (
    "Turn a recording that was cut off by a crash, or every such recording in a folder, into an ordinary file. The "
    "original stays until the new file is checked. A file that a crashed recorder was replacing gets its name back "
    "when the new one does not play."
)

CONVERT = (
    "Write a copy of a recording with a constant frame rate, for programs that cannot read a variable one: some video "
    "editors and most libraries for scripts. It takes seconds, because the pictures are not encoded again; sound and "
    "chapters are kept. The original does not change."
)

TRIM = (
    "Write a part of a recording to a new file, or all of it without some parts, exact to the picture and to the "
    "sample. As little as possible is encoded again: the pictures up to the next key frame and the sound at the cuts, "
    "and for some formats all sound. Chapters move along, and nothing of what is cut away is left in the new file. The "
    "original stays unless you give --in-place."
)

JOIN = (
    "Write several recordings, one after the other, into a new file, exact to the picture and to the sample. The first "
    "one names the format. What was recorded with the same settings is copied, everything else is encoded again; "
    "pictures have to be of one size. Each recording begins a chapter and keeps its own. The originals stay."
)

EXPORT = (
    "Write a copy of a recording that a messenger, a mailbox, browsers or a video editor accept; --list describes the "
    "presets. MP4, MOV, MKV, WebM, Ogg, M4A, MP3, FLAC and WAV of other programs and of phones work too. The original "
    "does not change, and no file is replaced."
)

SHARE = (
    "Hand a recording on: put the file itself on the clipboard, attach it to a draft mail, show it in the file "
    "manager, or open it with a program. capture itself sends nothing."
)

CHECK = "Check a recording: its tracks, their start and length, silence, and whether the end is missing."

CONFIG = (
    "Show all settings, or show or change one. `autostart on` starts capture with your desktop session (standby or "
    "replay, as set in autostart.verb), `autostart off` stops that, `autostart status` shows whether it is on. On "
    "Wayland, `bind` lets the desktop's keys run capture, or says what to write into its settings; `bind --remove` "
    "undoes that."
)

CONFIG_USAGE = "\n       ".join(
    f"capture config {form}" for form in ("[NAME [VALUE ... | --unset]]", "autostart on|off|status", "bind [--remove]")
)

COMPLETION = (
    'Write a script that completes verbs, options and file names with the Tab key. For bash, put eval "$(capture '
    'completion bash)" into ~/.bashrc; for zsh the same with zsh into ~/.zshrc, after compinit; for fish, capture '
    "completion fish | source into ~/.config/fish/config.fish."
)

CLIP = "Save the replay buffer of a running recorder as a file."

NAME = "name of this recorder, for stop, pause and so on"

#: Verbs that control a running recorder: the name, the help text, and what its description adds to that.
REMOTE_VERBS: Final = (
    (
        "status",
        "list the running recorders and their state",
        " If none is running, the exit code is 1; with --json it is 0 and the list is empty.",
    ),
    (
        "stop",
        "stop the recording and finish its file",
        " Returns when the file is finished. A recorder that only keeps a replay buffer is ended with --name or --all.",
    ),
    ("pause", "pause the recording", ""),
    ("resume", "resume a paused recording", ""),
    ("toggle", "start or stop a recording, as {record} does", " Starting needs a recorder in standby or replay."),
    ("discard", "stop the recording and delete its file", ""),
    ("mark", "add a chapter mark", ""),
    ("preview", "while paused, play what was recorded so far", ""),
)
