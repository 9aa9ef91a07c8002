"""What gives a session commands from outside: `hotkeys`, `signals`, and `sound` itself.

`trigger` holds the protocols, `bindings` the grammar of keys. Imports the ground and, for its thread, nothing else;
used by `session`, `config` and `cli`.
"""
