"""Remote control from other terminals: `server` listens in a running recorder, `client` finds one and asks it.

They speak `protocol` over a Unix socket in the `runtime_folder`; the server accepts only this user and root.
`connection` is one caller of the server. Imports the ground, `threads` and `triggers`; used by `cli`.
"""
