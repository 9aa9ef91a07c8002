"""A session from the first command to the last file: the only room that wires the others.

`session` obeys commands, `take` is one recording, `clip_saver` saves from the replay buffer, `inbox` holds what comes
in, `force_stop` decides when a file that hangs is given up. Imports everything below; used by `recorder` and `cli`.
"""
