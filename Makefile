# `make test` and `make demo` set up what they need by themselves, on a fresh clone too.
# PYTHON=python3.12 chooses the interpreter that .venv is built from.

BIN := .venv/bin
PLATFORMS := linux win32 darwin
DEMO := $(BIN)/python -m demo

export PYTHON
# Python may write down what it compiled, or every recorder that a test starts compiles the package anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup test demo clean

help:
	@echo 'make setup   install what the project needs: system packages (apt-get), .venv'
	@echo 'make test    check style, types for three platforms, and behaviour'
	@echo 'make demo    record a program that shows and speaks: demo.mp4, demo.ogg'
	@echo 'make clean   remove what the other targets made'

setup:
	@scripts/setup

test: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	printf '%s\n' $(PLATFORMS) | xargs -t -P 0 -I PLATFORM $(BIN)/mypy --platform PLATFORM --cache-dir .mypy_cache/PLATFORM
	$(BIN)/python -m pytest -W error -n auto

demo: setup
	$(BIN)/capture headless demo.mp4 --size 1280x720 --duration 20s --overwrite -- $(DEMO)
	$(BIN)/capture headless demo.ogg --duration 20s --overwrite -- $(DEMO)
	$(BIN)/capture check demo.mp4
	$(BIN)/capture check demo.ogg

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis demo.mp4 demo.ogg
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
