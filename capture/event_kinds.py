"""The kinds of events: everything that can happen to a recording, by the names that scripts rely on."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EventKind"]


class EventKind(StrEnum):
    """What happened. In JSON and in the ledger a kind is its value.

    The details of the kinds about a source of sound begin with its name and a colon. From DEVICE_LOST to DEVICE_BACK
    there is silence in its place; DEVICE_CHANGED is a move to another device.
    """

    APPLICATION = "application"
    BEGUN = "begun"
    BUFFER_LOST = "buffer_lost"
    CLIP = "clip"
    CLIP_FAILED = "clip_failed"
    CROPPED = "cropped"
    DEVICE_BACK = "device_back"
    DEVICE_CHANGED = "device_changed"
    DEVICE_LOST = "device_lost"
    DISCARDED = "discarded"
    DISK_FULL = "disk_full"
    DISK_SLOW = "disk_slow"
    DISPLAY_CHANGED = "display_changed"
    DISPLAY_LOST = "display_lost"
    DROPPED = "dropped"
    ENCODER = "encoder"
    ENDED = "ended"
    FAILED = "failed"
    FILE_GONE = "file_gone"
    HOLE = "hole"
    HOTKEYS = "hotkeys"
    KEYS_SHOWN = "keys_shown"
    LEFT_OUT = "left_out"
    LOUDNESS = "loudness"
    MARK = "mark"
    MOVED = "moved"
    NOT_BEGUN = "not_begun"
    NOT_IMPROVED = "not_improved"
    NO_CURSOR = "no_cursor"
    NO_DATA = "no_data"
    NO_HOTKEYS = "no_hotkeys"
    NO_LEDGER = "no_ledger"
    NO_PREVIEW = "no_preview"
    NO_REMOTE = "no_remote"
    PAUSE = "pause"
    RESUME = "resume"
    SCREEN_READABLE = "screen_readable"
    SCREEN_UNREADABLE = "screen_unreadable"
    SILENT = "silent"
    SOUND = "sound"
    STOOD_STILL = "stood_still"
    UNFINISHED = "unfinished"
    WAITING = "waiting"
    WINDOW_CLOSED = "window_closed"
