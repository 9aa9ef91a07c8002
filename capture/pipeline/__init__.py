"""Turns open devices into packets: source thread, grabber, track, encoder, tee.

`devices` keeps the sources open, and `device_thread` runs each in a thread. The grabbers read frames and blocks, the
tracks encode them, and `tee` passes the packets to the file and to the replay buffer. `pipeline` connects the stages of
one recording; `feed` adds the tee and the replay buffer. Imports every stage below it; used by `session`.
"""
