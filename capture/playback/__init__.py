"""Plays the sound of a recording: `sound_file` decodes it, a player sends it to the speakers, `preview` joins the two.

`player` chooses the adapter for this system. Imports `recordings` for reading and `sources` for the sound server; used
by `session`.
"""
