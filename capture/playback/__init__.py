"""Playing a recording back: `sound_file` decodes, a player makes it audible, `preview` joins the two.

`player` chooses the adapter of this system. Imports `sources` for the sound server; used by `session` and `cli`.
"""
