"""The replay buffer: the last seconds of every track, encoded, in memory.

`packets` stores key-frame groups, `buffer` bounds them by time and bytes, `clip` cuts one moment out, `clip_writer`
saves it as a file. Imports `codecs` and `output`; used by `pipeline` and `session`.
"""
