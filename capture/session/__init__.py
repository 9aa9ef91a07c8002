"""Runs a session from the first command to the last file; the only package that connects the others.

`session` obeys commands, `take` is one recording, `clip_saver` saves clips from the replay buffer, `inbox` queues
messages, `force_stop` decides when to abandon a file that hangs. Imports everything below; used by `recorder` and
`cli`.
"""
