"""Hand-built outcomes: what a migration could have decided about a small script."""

from __future__ import annotations

from mint_migrate.model.outcome import Failed, Migrated, Skipped
from mint_migrate.model.plan import Decision, Fidelity, Found, Kind
from mint_migrate.model.source import Source, Span

SCRIPT = """\
from trl import SFTConfig, SFTTrainer

args = SFTConfig(
    output_dir="out",
    learning_rate=2e-4,
    per_device_train_batch_size=4,
    neftune_noise_alpha=5,
    bf16=True,
    dataset_kwargs={"skip_prepare_dataset": True | False},
)
trainer = SFTTrainer("Qwen/Qwen3-0.6B", args=args, compute_metrics=my_metrics)
"""
RESULT = '''\
"""Converted from train.py."""

import mint

learning_rate = 2e-4
'''


def source(text: str = SCRIPT, path: str = "train.py") -> Source:
    """Return *text* as a file that was read."""
    return Source(path=path, content=text.encode(), text=text, newline="\n")


def decision(
    text: str,
    fidelity: Fidelity,
    *,
    name: str = "",
    code: str | None = None,
    target: str = "",
    note: str = "",
    suppressed: bool = False,
    kind: Kind = Kind.ARGUMENT,
) -> Decision:
    """Return a decision about the place of *text* in `SCRIPT`."""
    start = SCRIPT.index(text)
    line = SCRIPT.count("\n", 0, start) + 1
    column = start - SCRIPT.rfind("\n", 0, start)
    name = name or f"trl.SFTConfig.{text.partition('=')[0]}"
    return Decision(
        found=Found(
            kind=kind,
            name=name,
            span=Span(line=line, column=column, end_line=line, end_column=column + len(text)),
            source_text=text,
        ),
        fidelity=fidelity,
        row=name,
        code=code,
        target=target,
        note=note,
        suppressed=suppressed,
    )


def decisions() -> tuple[Decision, ...]:
    """Return one decision of each sort, and more, out of order."""
    return (
        decision(
            "compute_metrics=my_metrics",
            Fidelity.MANUAL,
            name="trl.SFTTrainer.compute_metrics",
            code="MM226",
            target="evaluate()",
            note="`my_metrics` reads logits, which MinT does not return; "
            "compute it from log-probabilities or from samples",
        ),
        decision("learning_rate=2e-4", Fidelity.EXACT, target="AdamParams.learning_rate"),
        decision('output_dir="out"', Fidelity.EXACT, target="training_args.output_dir"),
        decision(
            "neftune_noise_alpha=5",
            Fidelity.APPROXIMATE,
            code="MM211",
            note="MinT adds no noise to embeddings; expect more over-fitting on small data",
        ),
        decision(
            "bf16=True",
            Fidelity.DROPPED,
            code="MM240",
            target="the server's setting",
            note="the server chooses its precision",
        ),
        decision(
            'dataset_kwargs={"skip_prepare_dataset": True | False}',
            Fidelity.MANUAL,
            code="MM501",
            note="the value of `skip_prepare_dataset` is not known before the script runs",
            suppressed=True,
        ),
        decision(
            "per_device_train_batch_size=4",
            Fidelity.EXACT,
            target="training_args.batch_size",
            note="4 * 1 process",
        ),
    )


def migrated(**changes: object) -> Migrated:
    """Return the outcome of `SCRIPT`, with *changes*."""
    fields: dict[str, object] = {
        "source": source(),
        "framework": "trl",
        "version": "1.16.0",
        "evidence": ("`SFTConfig` has `learning_rate` since 0.9", "no release is pinned"),
        "decisions": decisions(),
        "text": RESULT,
        "notices": ("batch: 4 rows a step = 4 per device * 1 accumulation * 1 process",),
    }
    return Migrated(**{**fields, **changes})  # type: ignore[arg-type]


SKIPPED = Skipped(path="tool.py", code="MM107", reason="no source framework is used")
FAILED = Failed(path="bad.py", code="MM101", reason="this does not parse: '(' was never closed")
REFUSED = Failed(path="train_mint.py", code="MM110", reason="the output was edited")
