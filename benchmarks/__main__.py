"""Lets `python -m benchmarks` work."""

from __future__ import annotations

from benchmarks.cli import main

main()
