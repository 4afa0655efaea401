"""`python -m mint_runtime`."""

from __future__ import annotations

from mint_runtime.cli import main

main()
