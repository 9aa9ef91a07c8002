"""Tests of the sources: a package, so that its conftest is not taken for that of the whole suite."""
