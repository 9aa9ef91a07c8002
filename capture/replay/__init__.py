"""The replay buffer: the last seconds of every track, encoded, in memory.

`packets` stores encoded packets in runs, `buffer` bounds them by time and bytes, `clip` picks the packets of one clip,
`clip_writer` saves it as a file.
Imports the ground, `formats`, `codecs` and `output`; used by `pipeline` and `session`.
"""
