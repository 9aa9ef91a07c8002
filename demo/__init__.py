"""A demo program to record: about ten seconds of moving pictures and speech. Run ``python -m demo``."""
