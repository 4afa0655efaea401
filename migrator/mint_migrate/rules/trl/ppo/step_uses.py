"""Rule: what the user's loop does with a trainer that it drives step by step."""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Use
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.state import BuiltTrainer
from mint_migrate.rules.trl.uses import AfterTraining, plan_use

KEPT = frozenset(
    {
        "dataloader",
        "generate",
        "step",
        "log_stats",
        "save_pretrained",
        "config",
        "tokenizer",
        "current_device",
    }
)
"""What the class has under the name the trainer had."""

ACCELERATOR = {
    "accelerator.device": "device=device",
    "accelerator.num_processes": "num_processes=1",
    "accelerator.process_index": "process_index=0",
    "accelerator.local_process_index": "local_process_index=0",
    "accelerator.is_main_process": "is_main_process=True",
    "accelerator.is_local_main_process": "is_local_main_process=True",
}
RENAMED = {"model.save_pretrained": "save_pretrained", "kl_ctl.value": "kl_coef"}

UNDERSTOOD = frozenset(
    {
        "max_new_tokens",
        "max_length",
        "do_sample",
        "top_k",
        "top_p",
        "eos_token_id",
        "pad_token_id",
        "length_sampler",
        "batch_size",
        "return_prompt",
        "generate_ref_response",
    }
)
"""Keywords of `generate` that the emitted method has and follows."""
GONE = frozenset({"remove_padding", "pad_to_multiple_of", "use_cache"})


def accelerator_text(chains: set[str]) -> str:
    """Return the fields of the namespace that stands for the accelerator, "" where none is read."""
    return ", ".join(text for chain, text in ACCELERATOR.items() if chain in chains)


def plan_step_uses(plan: BuiltTrainer, uses: list[Use]) -> None:
    """Decide every use of the trainer and of the models that went into it."""
    ledger = plan.ledger
    for use in uses:
        _plan_trainer_use(plan, use)
    numbers = {call.number for call in plan.model.calls}
    context = AfterTraining(
        names={**plan.names, "client": f"{plan.trainer.target}.training_client"},
        config=plan.config_name,
        evaluation_rows=None,
        eval_dataset=None,
        train_statement=plan.trainer.statement,
        scope=plan.trainer.scope,
    )
    for use in ledger.facts.uses:
        if use.call in numbers and use.found not in ledger.decisions:
            plan_use(ledger, use, context)


def _plan_trainer_use(plan: BuiltTrainer, use: Use) -> None:
    ledger = plan.ledger
    row = ledger.tables.attribute_row("trl.PPOTrainer", use.chain, ledger.version)
    name = plan.names["policy_trainer"]
    if use.chain in RENAMED and use.root:
        new = RENAMED[use.chain]
        text = use.found.source_text.replace(f".{use.chain}", f".{new}", 1)
        ledger.replace_expression(use.found.span, text)
        _decide_kept(ledger, use, row, f"{name}.{new}", saves=new == "save_pretrained")
    elif use.chain == "generate":
        ledger.exact(use.found, row, f"{name}.generate()")
        for argument in use.arguments:
            _plan_generation(plan, use, argument)
    elif use.chain == "step":
        note = "PPO's policy loss; advantages without a critic"
        ledger.decide(
            use.found,
            Fidelity.APPROXIMATE,
            row=row,
            code="MM259",
            target=f"{name}.step()",
            note=note,
        )
        for argument in use.arguments:
            ledger.exact(argument.found, None, f"{name}.step()")
    elif use.chain in KEPT or use.chain in ACCELERATOR or use.chain.startswith("config."):
        _decide_kept(ledger, use, row, f"{name}.{use.chain}", saves=use.chain == "save_pretrained")
    else:
        plan_use(ledger, use, None)


def _decide_kept(ledger: Ledger, use: Use, row, target: str, *, saves: bool) -> None:  # type: ignore[no-untyped-def]
    if saves:
        note = (
            "weights and optimizer stay on the server under this name; download them to use them "
            "elsewhere"
        )
        ledger.decide(
            use.found, Fidelity.APPROXIMATE, row=row, code="MM231", target=target, note=note
        )
        ledger.differ(use.found, "MM231", note)
    else:
        ledger.exact(use.found, row, target)
    for argument in use.arguments:
        if argument.found not in ledger.decisions:
            ledger.exact(argument.found, None, target)


def _plan_generation(plan: BuiltTrainer, use: Use, argument: Argument) -> None:
    """Decide one argument of `generate`; what hides behind `**` fails when it runs, if it must."""
    ledger, name = plan.ledger, argument.keyword
    target = f"{plan.names['policy_trainer']}.generate()"
    literal = argument.value.literal
    if name is None or name in UNDERSTOOD:
        ledger.exact(argument.found, None, target)
    elif name == "temperature":
        _plan_temperature(ledger, argument, target)
    elif name == "min_length" and literal in {"-1", "0"}:
        ledger.exact(argument.found, None, target, "no minimum")
    elif name in GONE:
        note = "the server samples; nothing is padded"
        ledger.decide(argument.found, Fidelity.DROPPED, code="MM245", note=note)
    else:
        note = f"MinT samples without `{name}`; `generate` refuses it"
        ledger.manual(argument.found, "MM247", note)
        ledger.mark(use.statement, "MM247", f"`{argument.found.source_text}`: {note}")


def _plan_temperature(ledger: Ledger, argument: Argument, target: str) -> None:
    if argument.value.literal in {"1", "1.0"}:
        ledger.exact(argument.found, None, target)
        return
    ledger.exact(argument.found, None, target, "the original's loss, too, is that of temperature 1")
