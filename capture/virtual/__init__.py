"""A private desk for `capture headless`: its own X server and its own sound server.

`desk` starts both. `supervised_process` starts any program under `supervisor`, so that nothing outlives the desk.
Imports only the ground; used by `cli` and by Python callers.
"""
