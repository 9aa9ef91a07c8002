"""Commands from other terminals: `server` listens in a running recorder, `client` finds and asks one.

They speak `protocol` over a Unix socket in the `runtime_folder`, where only this user and root are heard.
Imports the ground, `threads` and `triggers`; used by `cli`.
"""
