"""Sound from PulseAudio, or from PipeWire through its PulseAudio server, by way of libpulse.

`loop` is the connection, `streams` and `timed_stream` deliver samples with the time they were heard, and
`device_source` and `application_source` are the sources. Imports `sources.protocols`; used by `sources.chooser`.
"""
