"""Writes recordings to disk: `muxer` writes packets into a container, `writer` is the thread that owns it.

`packet_times` and `frame_times` say when each packet is shown; `fragment_index` and `length_field` keep the header of a
growing file up to date. `reserved_file` keeps the file private and restores the one that it replaces. `output_file`,
`margin` and `disk_space` keep it whole when the disk fills up. `naming` chooses its path, `ledger` and `ledger_file`
log its events, `chapters` turns marks into chapters.
Imports the ground, `formats`, `threads` and `timing`; knows nothing of devices or encoders.
"""
