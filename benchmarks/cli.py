"""`python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from benchmarks.cases import Case, all_cases
from benchmarks.models import MODELS, build_model
from benchmarks.report import to_json, write_json
from benchmarks.setting import ELEMENT_BYTES, Setting


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the runtime beside its peers."
    )
    parser.add_argument("case", nargs="*", help="cases to run, or `all` (without the soak)")
    parser.add_argument("--list", action="store_true", help="print the cases and their peers")
    parser.add_argument(
        "--against", action="append", metavar="PEER", help="run these peers only; `none` for none"
    )
    parser.add_argument("--repeats", type=int, default=5, help="measured rounds (default 5)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="a file, or a folder for several")
    parser.add_argument("--model", choices=sorted(MODELS), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=sorted(ELEMENT_BYTES), help="default: by device")
    parser.add_argument("--threads", type=int, default=1, help="of each torch process (default 1)")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the soak")
    parser.add_argument(
        "--page", nargs="+", type=Path, metavar="JSON", help="write docs/benchmarks.md from results"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.page:
        from benchmarks.page import write_page

        typer.echo(f"wrote {write_page(options.page)}")
        return
    cases = all_cases()
    if options.list:
        for case in cases.values():
            typer.echo(f"{case.name:6}{case.title:45}{', '.join(case.peers)}")
        return
    names = [n for n in cases if n != "soak"] if options.case == ["all"] else options.case
    unknown = [name for name in names if name not in cases]
    if unknown or not names:
        parser.error(f"no case {', '.join(unknown)}; `--list` has them" if unknown else "no case")
    with tempfile.TemporaryDirectory(prefix="mint-benchmarks-") as scratch:
        setting = build_setting(options, Path(scratch))
        for name in names:
            document = _run(cases[name], setting, options.json, is_one=len(names) == 1)
            if name == "soak" and any(row["is_met"] is False for row in document["rows"]):
                # A speed that misses its target is a figure; an error or a leak is a failure.
                raise SystemExit("the soak failed: see the rows marked as missed")


def build_setting(options: argparse.Namespace, scratch: Path) -> Setting:
    """Return the setting the options describe; its model is built in `scratch`."""
    import torch

    from benchmarks.limits import measure_machine

    torch.set_num_threads(options.threads)
    model = MODELS[options.model]
    dtype = options.dtype or ("float32" if options.device == "cpu" else "bfloat16")
    return Setting(
        model=model,
        folder=build_model(model, scratch / model.name, device=options.device),
        scratch=scratch,
        machine=measure_machine(options.device, dtype),
        device=options.device,
        dtype=dtype,
        threads=options.threads,
        repeats=options.repeats,
        peers=frozenset(options.against) if options.against else None,
        minutes=options.minutes,
    )


def _run(case: Case, setting: Setting, target: Path | None, *, is_one: bool) -> dict[str, Any]:
    start = time.perf_counter()
    document = to_json(case.name, case.title, case.run(setting), setting)
    document["seconds"] = time.perf_counter() - start
    if target is None:
        typer.echo(json.dumps(document, indent=2))
        return document
    path = target if is_one and target.suffix == ".json" else target / f"{case.name}.json"
    write_json(path, document)
    for row in document["rows"]:
        typer.echo(_line(case.name, row), err=True)
    return document


def _line(name: str, row: dict[str, Any]) -> str:
    text = f"{name:5}{row['figure']:28}{row['value']:14.4g} {row['unit']}"
    if row["fraction"] is not None:
        text += f" ({100 * row['fraction']:.0f}% of the limit)"
    if row["peer"] is not None:
        text += f"; {row['peer']} {row['peer_value']:.4g}, ratio {row['ratio']:.2f}"
    verdict = {None: "", True: " (met)", False: " (missed)"}[row["is_met"]]
    return text + verdict
