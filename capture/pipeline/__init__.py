"""From open devices to packets: source thread, grabber, timeline, track, encoder, tee.

`pipeline` wires one recording's stages, `devices` keeps the sources open, `device_thread` runs them, the grabbers
stamp, the tracks encode, and `tee` hands packets to the file and to the replay buffer.
Imports every stage below it; used by `session`.
"""
