"""What a comparison looks like: table, JSON and plot."""

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from mint_migrate.parity.causes import likely_cause
from mint_migrate.parity.compare import compare
from mint_migrate.parity.plot import loss_plot
from mint_migrate.parity.render import as_json, renderable
from mint_migrate.parity.steps import Step
from mint_migrate.parity.verify import VerifyResult
from rich.console import Console

STEPS = tuple(
    Step(loss=6.9 - index / 10, learning_rate=1e-4 * index, grad_norm=0.4, num_loss_tokens=2448)
    for index in range(20)
)


def result(converted=STEPS, aligned=None) -> VerifyResult:
    """Return the result of comparing `STEPS` with other steps."""
    comparison = compare(STEPS, converted)
    return VerifyResult(
        original=Path("train.py"),
        converted=Path("train_mint.py"),
        comparison=comparison,
        cause=likely_cause(comparison),
        aligned=aligned,
        overrides=("CPU", "dropout 0"),
        world=("every model name stands for a tiny random model",),
        num_steps=20,
    )


def text(shown: VerifyResult, width: int = 80) -> str:
    """Return what a terminal without color shows."""
    file = io.StringIO()
    Console(file=file, width=width, no_color=True).print(renderable(shown))
    return file.getvalue()


WORSE = (*STEPS[:7], *(replace(step, loss=step.loss * 1.01) for step in STEPS[7:]))


def test_equal_training_says_so_and_lists_overrides():
    shown = text(result())
    assert "equal over 20 steps" in shown
    assert "dropout 0" in shown
    assert "likely cause" not in shown


def test_table_fits_a_terminal_of_80_columns_without_cutting():
    lines = text(result()).splitlines()
    row = next(line for line in lines if line.lstrip().startswith("19 "))
    losses, norms = ["5.000000", "5.000000"], ["0.40000", "0.40000"]
    assert row.split() == ["19", *losses, "0.0e+00", "0.0019", *norms, "2448"]
    assert not any("\N{HORIZONTAL ELLIPSIS}" in line for line in lines)


def test_first_difference_and_cause_are_readable_without_color():
    shown = text(result(WORSE))
    assert "differs from step 7 on: loss" in shown
    assert "likely cause: " in shown
    row = next(line for line in shown.splitlines() if line.lstrip().startswith("7 "))
    assert row.split()[-1] == "loss"


def test_quantity_outside_tolerance_goes_by_the_name_of_its_column():
    lines = text(result(tuple(replace(step, learning_rate=0.5) for step in STEPS))).splitlines()
    header = next(line for line in lines if line.startswith("step"))
    row = next(line for line in lines if line.lstrip().startswith("3 "))
    assert row.split()[-1] == "lr"
    assert "lr" in header.split()


def test_training_that_ends_early_on_both_sides_is_equal_and_says_so():
    shown = replace(result(), comparison=compare(STEPS[:6], STEPS[:6]))
    assert shown.exit_status == 0
    assert "equal over 6 steps" in text(shown)
    assert "20 steps were asked for" in text(shown)


def test_alignment_heads_the_table():
    shown = text(result(aligned="rank 32 (the original trains every parameter)"))
    assert "LoRA aligned: rank 32" in shown


@pytest.mark.parametrize(("converted", "status"), [(STEPS, 0), (WORSE, 1), (STEPS[:5], 1)])
def test_exit_status_follows_the_comparison(converted, status):
    assert result(converted).exit_status == status


def test_json_is_unrounded_and_has_no_value_that_json_lacks():
    broken = (replace(STEPS[0], loss=float("nan"), grad_norm=None), *STEPS[1:])
    content = json.loads(json.dumps(as_json(result(broken)), allow_nan=False))
    assert content["version"] == 1
    assert content["equal"] is False
    assert content["first_difference"] == 0
    assert content["steps"][0]["converted"]["loss"] is None
    assert content["steps"][3]["original"]["loss"] == STEPS[3].loss


@pytest.mark.parametrize("converted", [STEPS, WORSE, (), STEPS[:1]])
def test_plot_is_an_svg_with_both_curves_and_nothing_from_elsewhere(converted):
    svg = loss_plot(result(converted))
    root = ET.fromstring(svg)
    classes = [node.get("class") for node in root.iter("{http://www.w3.org/2000/svg}path")]
    assert {"original", "converted", "limit"} <= set(classes)
    assert "href" not in svg


def test_difference_is_drawn_above_the_tolerance_only_where_it_is():
    def highest_gap(converted) -> float:
        root = ET.fromstring(loss_plot(result(converted)))
        paths = list(root.iter("{http://www.w3.org/2000/svg}path"))
        points = paths[-1].get("d", "").replace("M", " ").replace("L", " ").split()
        limit = float(paths[-2].get("d", "").split()[1].split("H")[0])
        return min(float(y) for y in points[1::2]) - limit

    assert highest_gap(STEPS) > 0
    assert highest_gap(WORSE) < 0


SAMPLED = tuple(
    replace(step, loss_scale=0.7, quantities={"reward": -0.25, "kl": 0.01, "rewards/f/mean": 1.0})
    for step in STEPS
)


def shown_sampled(**quantities) -> VerifyResult:
    """Return the result of a sampled training whose conversion records some quantities."""
    converted = tuple(replace(step, quantities=quantities) for step in STEPS)
    comparison = compare(SAMPLED, converted)
    return replace(result(), comparison=comparison, cause=likely_cause(comparison))


def test_rewards_have_a_column_and_the_table_still_fits():
    lines = text(shown_sampled(reward=-0.25, kl=0.01)).splitlines()
    row = next(line for line in lines if line.lstrip().startswith("19 "))
    assert row.split()[-2:] == ["2448", "-0.2500"]
    assert not any("\N{HORIZONTAL ELLIPSIS}" in line for line in lines)


def test_what_else_was_compared_and_what_was_not_is_said():
    shown = " ".join(text(shown_sampled(reward=-0.25, kl=0.01)).split())
    assert "reward within 0.0e+00, kl within 0.0e+00" in shown
    assert "relative to the mean size of the advantages (0.7 to 0.7)" in shown
    assert "not in the converted script's metrics.jsonl, so not compared: rewards/f/mean" in shown


def test_reward_that_differs_is_named_in_its_row_and_in_the_json():
    changed = shown_sampled(reward=-0.5, kl=0.01)
    lines = text(changed, width=120).splitlines()
    row = next(line for line in lines if line.lstrip().startswith("0 "))
    assert row.split()[-4:] == ["-0.2500", "/", "-0.5000", "reward"]
    report = as_json(changed)
    assert report["steps"][0]["quantity_differences"] == {"reward": 1.0, "kl": 0.0}
    assert report["steps"][0]["original"]["quantities"]["reward"] == -0.25
    assert report["not_recorded"] == ["rewards/f/mean"]


def test_missing_completion_is_told_after_the_steps_before_it():
    comparison = compare(STEPS, STEPS[:2], refusal="the prompt was never continued")
    shown = text(replace(result(), comparison=comparison, cause=comparison.refusal))
    assert "stops after 2 equal steps" in shown
    assert "likely cause: the prompt was never continued" in shown
