"""Threads and the queues between them.

`worker` runs a named thread, `mailbox` is the queue between two threads, and `dispatcher` passes events to a listener
that may be slow without blocking the sender. Imports only the ground modules.
"""
