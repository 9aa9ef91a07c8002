"""Writes recordings to disk: `muxer` writes packets into a container, `writer` is the thread that owns it.

`reserved_file` keeps the file private and restores the one that it replaces. `output_file`, `margin` and `disk_space`
keep it whole when the disk fills up. `naming` chooses its path, `ledger` and `ledger_file` log its events, `chapters`
turns marks into chapters.
Imports the ground, `formats`, `threads` and `timing`; knows nothing of devices or encoders.
"""
