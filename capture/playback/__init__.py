"""Plays the sound of a recording: a player sends it to the speakers, `preview` and `playing` read it with `SoundFile`.

`player` chooses the adapter for this system. Imports `recordings` for reading and `sources` for the sound server; used
by `session`.
"""
