"""Converted trainings on given rows do what OpenRLHF does in each optimizer step.

`train_sft`, `train_dpo` and `train_kto` of three releases run as they are, in one or two processes;
so does the conversion of the launcher that starts them. The model of both is a table whose gradient
says of each pair of neighboring tokens what it counted. So tokens, masks, cuts, templates, rows and
their order, micro-batches, losses, the schedule and held-out losses are compared at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.openrlhf_math import MIDDLE, NEWEST, OLDEST
from support.openrlhf_rows import COMMON, Case, Training, converted, ours, theirs, write_data
from support.tiny_folder import tiny_folder

pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

RELEASES = (NEWEST, MIDDLE, OLDEST)
TOLERANCE = 1e-5
"""Relative to the largest number: float32 sums in another order."""
DATA = "{data}"
"""Stands for the folder of the data."""

SFT = {"dataset": f"{DATA}/rows.jsonl", "input_key": "question", "output_key": "answer"}
CHAT = {"dataset": f"{DATA}/rows.jsonl", "apply_chat_template": True}
TURN = '<|im_start|>{{ one["role"] }}\n{{ one["content"] }}<|im_end|>'
TEMPLATE_OF_TURNS = (
    "{% for one in messages %}"
    + TURN
    + "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Ends a turn with its end token: no line break follows that is cut off behind the last one."""
TURNS = {
    **CHAT,
    "input_key": "chat",
    "multiturn": True,
    "tokenizer_chat_template": TEMPLATE_OF_TURNS,
}
BLENDED = {"dataset": f"{DATA}/rows.jsonl,{DATA}/more.jsonl", "dataset_probs": "0.6,0.4"}
UNSAID = dict.fromkeys(("max_epochs", "max_len", "seed", "lr_warmup_ratio"))
"""The defaults of the release count."""
HELD = {"eval_dataset": f"{DATA}/held.jsonl", "eval_split": "train"}
DPO = {
    "dataset": f"{DATA}/rows.jsonl",
    "prompt_key": "question",
    "chosen_key": "answer",
    "rejected_key": "worse",
    "beta": 0.3,
}
CHATS = {**CHAT, "chosen_key": "chat", "rejected_key": "chat_worse", "beta": 0.3}
KTO = {**SFT, "label_key": "good", "beta": 0.3, "max_samples": 40}
TEMPLATE = {"input_template": "Q: {} A: "}
LATER = (NEWEST, MIDDLE)
EARLIER = (MIDDLE, OLDEST)


def sft(name: str, flags: dict[str, Any], **more: Any) -> Case:
    return Case(name=f"sft-{name}", program="train_sft", flags={**COMMON, **flags}, **more)


def dpo(name: str, flags: dict[str, Any], **more: Any) -> Case:
    return Case(name=f"dpo-{name}", program="train_dpo", flags={**COMMON, **flags}, **more)


def kto(name: str, flags: dict[str, Any], **more: Any) -> Case:
    return Case(
        name=f"kto-{name}",
        program="train_kto",
        flags={**COMMON, **flags},
        **{"releases": EARLIER, **more},
    )


CASES = [
    sft("template", {**SFT, **TEMPLATE}, world=2),
    sft("default-template-alone", SFT),
    sft("packed", {**SFT, **TEMPLATE, "packing_samples": True}),
    sft("chat-of-strings", {**SFT, **CHAT}),
    sft("chat", {**CHAT, "input_key": "chat"}),
    sft("chat-in-two", {**CHAT, "input_key": "asked", "output_key": "told"}),
    sft("turns", {**TURNS, "packing_samples": True}, world=2, releases=LATER),
    sft("turns-whole", {**TURNS, "packing_samples": True, "max_len": 200}),
    sft("turns-padded", TURNS, releases=LATER),
    sft("texts", {**SFT, "output_key": None, "pretrain_mode": True}, releases=(NEWEST, OLDEST)),
    sft("limited", {**SFT, **TEMPLATE, "max_samples": 41, "l2": 0.1, "max_norm": 0.5}, world=2),
    sft("held-out", {**SFT, **TEMPLATE, **HELD, "max_samples": 33}, world=2, releases=LATER),
    sft("held-out-turns", {**TURNS, **HELD}, releases=LATER),
    sft("defaults", {**SFT, **UNSAID}),
    sft("blended", {**SFT, **BLENDED}),
    sft("joined", {**SFT, **BLENDED, "dataset_probs": None}, releases=LATER),
    sft("linear", {**SFT, "lr_scheduler": "linear"}, releases=(NEWEST,)),
    sft("constant", {**SFT, "lr_scheduler": "constant"}, releases=(NEWEST,)),
    dpo("plain", DPO, world=2),
    dpo("template", {**DPO, **TEMPLATE, "label_smoothing": 0.1, "packing_samples": True}),
    dpo("identity", {**DPO, "ipo": True, "nll_loss_coef": 0.2}),
    dpo("without-prompt", {**DPO, "prompt_key": None}),
    dpo("chat", {**CHATS}),
    dpo(
        "chat-in-three",
        {**CHATS, "prompt_key": "asked", "chosen_key": "told", "rejected_key": "told_worse"},
    ),
    dpo("defaults", {**DPO, **UNSAID, "beta": None, "train_batch_size": 8}),
    dpo("blended", {**DPO, **BLENDED}),
    dpo("floor", {**DPO, "min_lr_ratio": 0.3, "adam_betas": (0.8, 0.9)}, releases=(NEWEST,)),
    dpo("held-out", {**DPO, **HELD, "eval_steps": 2}, world=2, releases=LATER),
    kto("plain", KTO, world=2),
    kto("weighed", {**KTO, "desirable_loss_weight": 1.3, "undesirable_loss_weight": 0.7}),
    kto("chat", {**KTO, **CHAT, "input_key": "chat", "output_key": None}),
    kto("held-out", {**KTO, **HELD}, world=2, releases=(MIDDLE,)),
]
COMPARED = [(release, case) for release in RELEASES for case in CASES if release in case.releases]


def placed(case: Case, folder: Path) -> Case:
    """Return a case with the folder of the data in its flags, and a model."""
    flags = {
        key: value.replace(DATA, str(folder)) if isinstance(value, str) else value
        for key, value in case.flags.items()
    }
    return Case(
        name=case.name,
        program=case.program,
        flags={"pretrain": str(tiny_folder()), **flags},
        world=case.world,
        own=case.own,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the data."""
    folder = tmp_path_factory.mktemp("rows")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Any:
    """Return a function that gives a release's training of a case; one start for each release."""
    known: dict[str, dict[str, Training]] = {}

    def training(release: str, case: Case) -> Training:
        if release not in known:
            # Where its process fails it fails once, not for each case.
            known[release] = {}
            cases = [placed(one, data) for one in CASES if release in one.releases]
            runs = theirs(tmp_path_factory.mktemp("openrlhf"), release, cases)
            known[release] = {one.name: run for one, run in zip(cases, runs, strict=True)}
        return known[release][case.name]

    return training


def differs(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Say whether two arrays differ by more than rounding."""
    return not bool((np.abs(ours - theirs) <= TOLERANCE * np.abs(theirs).max()).all())


@pytest.mark.parametrize(
    ("release", "case"), COMPARED, ids=[f"{release}-{case.name}" for release, case in COMPARED]
)
def test_every_step_is_that_of_the_release(originals, data, tmp_path, release, case):
    expected = originals(release, case)

    found = ours(converted(placed(case, data), release), tmp_path)

    assert len(expected.losses) > 1
    assert found.gradients.shape == expected.gradients.shape
    for step, (mine, its) in enumerate(zip(found.gradients, expected.gradients, strict=True)):
        assert not differs(mine, its), f"step {step}"
    assert found.losses == pytest.approx(expected.losses, rel=TOLERANCE)
    assert found.rates == pytest.approx(expected.rates, rel=TOLERANCE, abs=1e-15)
    assert found.adam == pytest.approx(expected.adam, rel=TOLERANCE)
    if release == OLDEST:
        # It always evaluates, on rows that it trains on; that is said to be left out.
        return
    assert [step for step, _ in found.evaluations] == [step for step, _ in expected.evaluations]
    losses = [loss for _, loss in expected.evaluations]
    assert [loss for _, loss in found.evaluations] == pytest.approx(losses, rel=TOLERANCE)
