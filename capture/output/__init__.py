"""The file: `muxer` writes packets into a container, `writer` is the thread that owns it.

`output_file`, `reserved_file`, `margin` and `disk_space` keep the file private and whole on a disk that fills or
stalls; `naming` chooses where it goes, `ledger` and `chapters` hold what happened in it.
Imports the ground, `formats`, `threads` and `timing`; knows nothing of devices or encoders.
"""
