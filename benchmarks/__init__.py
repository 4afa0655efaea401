"""Benchmarks of the runtime: speed, memory, latency and consistency, beside what else there is.

`python -m benchmarks --list` names the cases; each is one file of `benchmarks/cases`. A case runs
our server and its peers on the same machine in the same run, turn by turn, and reports medians with
their spread as JSON. `docs/benchmarks.md` is written from such files.

These are measurements, not tests: nothing here decides whether a build passes.
"""
