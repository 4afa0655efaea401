"""Child program of a comparison: run one script as `__main__`, watched.

    python -m mint_migrate.parity.harness SPEC.json

Exit status 0 when the script did what the comparison needs, 1 after an error of the script's own
(its traceback is on stderr), 3 when it trains something that cannot be compared.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

from mint_migrate.parity.harness import guard
from mint_migrate.parity.harness.spec import METRICS_PATH, ChildSpec, read_spec

CANNOT_COMPARE = 3


def main(spec_file: str) -> int:
    """Run the script of a specification and return the exit status."""
    spec = read_spec(Path(spec_file))
    guard.network_off()
    if spec.is_original:
        return _run_original(spec)
    note = Path(spec.output, METRICS_PATH)

    def remember(path: str) -> None:
        note.write_text(path, encoding="utf-8")

    guard.on_write("metrics.jsonl", remember)
    _run(spec)
    return 0


def _run_original(spec: ChildSpec) -> int:
    from mint_migrate.parity.harness.lora import align_trainers
    from mint_migrate.parity.harness.overrides import apply_overrides
    from mint_migrate.parity.harness.recorder import CannotCompare, TrainingOver, record_trainers

    # Imported before the script, so that what it sets in the environment finds them already
    # configured.
    for library in ("torch", "transformers", "peft", "trl"):
        importlib.import_module(library)
    apply_overrides(Path(spec.output))
    align_trainers(spec)
    record_trainers(spec)
    try:
        _run(spec)
    except TrainingOver:
        return 0
    except CannotCompare as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_COMPARE
    return 0


def _run(spec: ChildSpec) -> None:
    """Run the script as `python SCRIPT ARGS` would, in this process."""
    script = Path(spec.script).resolve()
    sys.argv = [str(script), *spec.args]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
