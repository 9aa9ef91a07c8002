"""Finds the voice notes that messengers have stored, in folders and in exported chats, and brings them in.

Nothing here writes outside the folder for recordings, and what comes from outside is believed only within bounds.
"""
