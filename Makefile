# `make test` and `make demo` install what they need, also in a fresh clone.
# PYTHON=python3.12 chooses the interpreter that .venv is built from.

BIN := .venv/bin
PLATFORMS := linux win32 darwin
DEMO := $(BIN)/python -m demo

export PYTHON
# Let Python write bytecode, or every recorder that a test starts compiles the package again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install setup test demo clean

help:
	@echo 'make install install what recording needs: system packages (apt-get), and capture in .venv'
	@echo 'make setup   install what the tests need as well'
	@echo 'make test    check style, types on three platforms, and behaviour'
	@echo 'make demo    record a demo program as demo.mp4 (video) and demo.ogg (voice)'
	@echo 'make clean   remove everything the other targets made in this folder'

install:
	@scripts/setup --recording

setup:
	@scripts/setup

test: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	printf '%s\n' $(PLATFORMS) | xargs -t -P 0 -I PLATFORM $(BIN)/mypy --platform PLATFORM --cache-dir .mypy_cache/PLATFORM
	$(BIN)/python -m pytest -W error -n auto

demo:
	@scripts/setup --demo
	$(BIN)/capture headless demo.mp4 --size 1280x720 --duration 20s --overwrite -- $(DEMO)
	$(BIN)/capture headless demo.ogg --duration 20s --overwrite -- $(DEMO)
	$(BIN)/capture check demo.mp4
	$(BIN)/capture check demo.ogg

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis demo.mp4 demo.ogg
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
