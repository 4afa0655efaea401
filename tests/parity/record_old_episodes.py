"""Record what RLOO and PPO of TRL 0.12 to 0.18 compute of given responses.

Run by hand, with torch and the wheel of such a release, which is read and not installed:

    pip download --no-deps trl==0.18.2
    python tests/parity/record_old_episodes.py trl-0.18.2-py3-none-any.whl

`train` of these trainers is one function. Its statements from the scores of a rollout to the
advantages, and those of the loss of a micro-batch, are run as they stand on drawn numbers: scores,
log-probabilities of the policy that sampled, of the reference, and of the policy that is trained.
PPO's critic answers 0. Written are `fixtures/losses/trl-<version>-rloo.json` and `-values.json`
(PPO): what went in, and for each choice of options the advantages, the loss and its gradient.
"""

from __future__ import annotations

import ast
import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

TARGET = Path(__file__).resolve().parents[2] / "fixtures" / "losses"
LENGTH, GROUP, LENGTHS = 9, 3, (4, 9, 1, 7, 8, 5, 9, 3, 6, 2, 7, 4)
PLAIN: dict[str, Any] = {
    "rloo_k": GROUP,
    "kl_coef": 0.3,
    "cliprange": 0.2,
    "normalize_reward": False,
    "reward_clip_range": 0.8,
    "normalize_advantage": False,
    "token_level_kl": False,
    "whiten_rewards": False,
    "kl_estimator": "k1",
    "gamma": 0.9,
    "lam": 0.8,
    "missing_eos_penalty": None,
}
RLOO = [{}, {"normalize_reward": True}, {"normalize_advantage": True}, {"token_level_kl": True}]
PPO = [{}, {"whiten_rewards": True}, {"gamma": 1.0, "lam": 0.95}, {"kl_estimator": "k3"}]


def main(arguments: list[str]) -> int:
    """Record both trainers of one wheel."""
    wheel = zipfile.ZipFile(arguments[0])
    version = Path(arguments[0]).name.split("-")[1]
    tools = ast.parse(wheel.read("trl/core.py").decode())
    for name, short, choices in (("rloo", "rloo", RLOO), ("ppo", "values", PPO)):
        text = wheel.read(f"trl/trainer/{name}_trainer.py").decode()
        kept = [one for one in choices if all(f"args.{key}" in text for key in one)]
        drawn = draw()
        space = {**defined(tools), "torch": torch, "INVALID_LOGPROB": 1.0}
        cases = [
            {"options": {**PLAIN, **one}, **computed(text, {**PLAIN, **one}, drawn, space)}
            for one in kept
        ]
        content = {
            "trl": version,
            "torch": torch.__version__,
            "lengths": LENGTHS,
            **{key: value.tolist() for key, value in drawn.items()},
            "cases": cases,
        }
        path = TARGET / f"trl-{version}-{short}.json"
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(cases)} cases")
    return 0


def draw() -> dict[str, torch.Tensor]:
    """Return numbers for responses `[B, T]`, whose padding holds some that would show."""
    generator = torch.Generator().manual_seed(3)
    size = (len(LENGTHS), LENGTH)
    old = -3 * torch.rand(size, generator=generator) - 0.01
    return {
        "old": old,
        "reference": old + 0.4 * torch.randn(size, generator=generator),
        "new": old + 0.15 * torch.randn(size, generator=generator),
        "scores": torch.randn(len(LENGTHS), generator=generator),
    }


def defined(tree: ast.Module) -> dict[str, Any]:
    """Return the functions of `trl.core` that the statements call."""
    wanted = {"masked_mean", "masked_var", "masked_whiten"}
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in wanted]
    for node in found:
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
    space: dict[str, Any] = {"torch": torch}
    exec(compile(ast.Module(body=[*found], type_ignores=[]), "core", "exec"), space)
    return space


def targets(node: ast.stmt) -> set[str]:
    """Return the names that a statement binds."""
    bound = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return {name.id for name in bound}


def between(text: str, first: str, last: str) -> list[ast.stmt]:
    """Return the statements of one block from where *first* is bound to where *last* last is."""
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if not isinstance(node, ast.With) or not isinstance(body, list):
            continue
        starts = [i for i, item in enumerate(body) if first in targets(item)]
        ends = [i for i, item in enumerate(body) if last in targets(item)]
        if starts and ends and isinstance(body[starts[0]], ast.Assign):
            return body[starts[0] : ends[-1] + 1]
    raise ValueError(f"no block binds {first} and {last}")


def computed(
    text: str, options: dict[str, Any], drawn: dict[str, torch.Tensor], space: dict[str, Any]
) -> dict[str, Any]:
    """Return advantages, loss and gradient of one choice of options."""
    args = SimpleNamespace(**options, vf_coef=0.0, cliprange_value=0.2)
    rows = torch.arange(len(LENGTHS))
    tokens = torch.ones(len(LENGTHS), LENGTH, dtype=torch.long)
    space = {
        **space,
        "args": args,
        "self": SimpleNamespace(args=args, processing_class=SimpleNamespace(eos_token_id=1)),
        "processing_class": SimpleNamespace(eos_token_id=1),
        "responses": tokens,
        "postprocessed_responses": tokens,
        "query_responses": tokens,
        "sequence_lengths": torch.tensor(LENGTHS) - 1,
        "logprobs": drawn["old"].clone(),
        "ref_logprobs": drawn["reference"].clone(),
        "scores": drawn["scores"].clone(),
        "values": torch.zeros(len(LENGTHS), LENGTH),
        "micro_batch_inds": rows,
    }
    run(between(text, "contain_eos_token", "advantages"), space)
    new = drawn["new"].clone().requires_grad_()
    space |= {"new_logprobs": new, "vpred_temp": torch.zeros(len(LENGTHS), LENGTH + 1, 1)}
    space["context_length"] = 1
    # What the model answers is given.
    model = {"output", "logits", "new_all_logprobs"}
    loss = between(text, "mb_advantage", "loss")
    given = [n for n in loss if not targets(n) & model and "softmax" not in ast.unparse(n)]
    run([n for n in given if "torch.gather(new_all" not in ast.unparse(n)], space)
    (gradient,) = torch.autograd.grad(space["loss"], new)
    return {
        "advantages": space["advantages"].tolist(),
        "loss": space["loss"].item(),
        "gradient": gradient.tolist(),
    }


def run(statements: list[ast.stmt], space: dict[str, Any]) -> None:
    """Run statements as they stand."""
    exec(compile(ast.Module(body=statements, type_ignores=[]), "trl", "exec"), space)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
