"""Triggers send commands to a session from outside: `hotkeys`, `signals`, and `sound` itself.

`trigger` defines the protocols, `bindings` the syntax of key combinations. Imports only the ground; used by `session`,
`config` and `cli`.
"""
