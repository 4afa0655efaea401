"""How micro-batches make optimizer steps, by release; the figures are checked in tests/parity."""

from __future__ import annotations

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, sft

ACCUMULATED = (
    'output_dir="out", save_strategy="no", per_device_train_batch_size=2, '
    "gradient_accumulation_steps=4"
)
WHOLE = "num_steps = math.ceil(config.num_train_epochs * whole_steps)"
CARRIED = "range(first_batch, first_batch + config.gradient_accumulation_steps)"
TOGETHER = "together = [rows[i] for i in order[first:last]]"
SHARE = "share=1.0 / config.gradient_accumulation_steps"


def text(version: str, config: str = ACCUMULATED, **options: object) -> str:
    return converted(sft(config, source_version=version, **options))


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("0.11.4", {WHOLE, CARRIED, SHARE}),
        ("0.12.2", {WHOLE, CARRIED, TOGETHER}),
        ("0.13.0", {WHOLE}),
        ("0.17.0", {WHOLE}),
        ("0.18.2", set()),
        ("1.16.0", set()),
    ],
)
def test_steps_are_cut_as_the_release_cut_them(version: str, has: set[str]) -> None:
    found = text(version)
    assert {line for line in (WHOLE, CARRIED, TOGETHER, SHARE) if line in found} == has


@pytest.mark.parametrize("version", ["0.11.4", "0.12.2", "0.16.1"])
def test_one_batch_for_each_step_needs_no_micro_batches(version: str) -> None:
    config = ACCUMULATED.replace("gradient_accumulation_steps=4", "gradient_accumulation_steps=1")
    assert "micro_batch" not in text(version, config)


def test_a_length_in_steps_is_taken_as_it_is() -> None:
    found = text("0.16.1", f"{ACCUMULATED}, max_steps=20")
    assert "micro_batch" not in found
    assert "num_steps = config.max_steps" in found


@pytest.mark.parametrize(
    ("version", "rows", "fidelity"),
    [
        ("0.16.1", 2, Fidelity.APPROXIMATE),
        ("0.16.1", 1, Fidelity.EXACT),
        ("0.18.2", 2, Fidelity.EXACT),
        ("0.12.2", 2, Fidelity.EXACT),
    ],
)
def test_rows_that_a_release_left_unread_are_said(
    version: str, rows: int, fidelity: Fidelity
) -> None:
    config = ACCUMULATED.replace("batch_size=2", f"batch_size={rows}")
    found = decision(
        sft(config, source_version=version), "trl.SFTConfig.gradient_accumulation_steps"
    )
    assert found.fidelity is fidelity


def test_processes_are_averaged_like_micro_batches_in_old_releases() -> None:
    found = text("0.11.4", num_processes=3)
    assert "gradient_accumulation_steps=4 * 3," in found


def test_evaluation_divides_by_the_tokens_that_are_predicted() -> None:
    found = converted(
        sft(
            'output_dir="out", eval_strategy="epoch"',
            trainer="eval_dataset=dataset",
            source_version="0.19.1",
        )
    )
    assert "training_client.forward(build_batch(batch), loss_fn" in found
    assert "data = build_batch(batch, sum(" in found
