"""A private desk for `capture headless`: an X server and a sound server of its own.

`desk` starts both, `supervised_process` starts any program through `supervisor`, so that nothing outlives the desk.
Imports the ground alone; used by `cli` and by Python callers.
"""
