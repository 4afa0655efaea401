"""The planner of `openrlhf.cli.train_sft`.

Source: OpenRLHF `cli/train_sft.py`, `datasets/sft_dataset.py` (0.6.4, 0.9.1, 0.11.2).
"""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.openrlhf_rows_script import OpenRlhfSftScript
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import fact, field_of, is_positive, switch
from mint_migrate.rules.openrlhf.rows import close_training, open_training, plan_batches

_TURNS = (
    "every turn of the assistant is trained on; this release tells turns apart only where samples "
    "are packed"
)
_LAST_TURN = (
    "a conversation ends with its last token; where its last turn alone has more tokens, as with "
    "chat templates that end a turn with a line break, the original also trains the token behind "
    "it, which is padding or the next row's"
)
_REST = (
    "a conversation ends with its last token; where its turns reach further, since they are cut "
    "off or the chat template ends them with a line break, this release also trains as many tokens "
    "of the next row"
)


def plan_sft(settings: Settings, read: Read) -> OpenRlhfSftScript:
    """Fill the record of a supervised training.

    Raises:
        Blocked: the training cannot be expressed on MinT.
    """
    data = open_training(settings)
    rows, output = _plan_rows(settings)
    micro_batches = plan_batches(settings)
    shared = close_training(settings, data, "5e-06")
    if is_positive(settings, "aux_loss_coef"):
        settings.differ("aux_loss_coef", "MM415", "the router's loss of a mixture is left out")
    else:
        settings.exact("aux_loss_coef", "nothing")
    return OpenRlhfSftScript(
        **shared,
        by_data=fact(settings, "sft_updates") == "windows",
        micro_batches=micro_batches,
        rows=rows,
        output=output,
        skips_first=rows == "pairs" and not fact(settings, "sft_first_token_is_trained"),
    )


def _plan_rows(settings: Settings) -> tuple[str, bool]:
    """Return how a row becomes tokens, and whether its response has a column of its own."""
    field_of(settings, "input_key", '"input"', "str")
    output = settings.value("output_key").data is not None
    if output:
        settings.use("output_key", kind="str")
    is_packed = settings.value("packing_samples").data is True
    if switch(settings, "pretrain_mode", "tokenize"):
        over = fact(settings, "texts_reach_over")
        if over == "always" or (over == "packed" and is_packed):
            settings.differ(
                "pretrain_mode",
                "MM423",
                "a text ends with its last token; this release also trains the token behind it, "
                "which is padding or belongs to the next text",
                "tokenize",
            )
        return "texts", output
    if switch(settings, "multiturn", "tokenize"):
        sentence = _LAST_TURN
        if fact(settings, "multiturn_needs_packing"):
            sentence = _REST if is_packed else _TURNS
        settings.differ("multiturn", "MM423", sentence, "tokenize")
        return "conversations", output
    return "pairs", output
