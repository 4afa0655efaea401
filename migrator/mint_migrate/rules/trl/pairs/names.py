"""Names of what the trainings on preferences add, by role, best first."""

from __future__ import annotations

ROLES: dict[str, tuple[str, ...]] = {
    "label_rows": ("label_rows", "rows_with_labels"),
    "split_prompt": ("split_prompt", "prompt_and_answers"),
    "render_row": ("render_row", "render_texts"),
    "split_answer": ("split_answer", "tokens_of_answer"),
    "join_tokens": ("join_tokens", "join_and_cut"),
    "build_datum": ("build_datum", "completion_datum"),
    "completion_logprob": ("completion_logprob", "sum_of_logprobs"),
    "reference_logprobs": ("reference_logprobs", "logprobs_of_reference"),
    "prepare_rows": ("prepare_rows", "rows_as_data"),
    "ask_mismatched": ("ask_mismatched", "ask_policy_for_kl"),
    "step_loss": ("step_loss", "mean_of_micro_batches"),
}
