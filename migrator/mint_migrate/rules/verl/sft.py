"""The planner of verl's supervised entries.

Source: verl `trainer/fsdp_sft_trainer.py` and `utils/dataset/sft_dataset.py` (0.2 to 0.8),
`trainer/sft_trainer.py` and `utils/dataset/multiturn_sft_dataset.py` (0.6 to 0.9.1).
"""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.script import Schedule
from mint_migrate.model.verl_sft_script import VerlSftScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.names import NAMES
from mint_migrate.rules.launched.serving import suggest_serving
from mint_migrate.rules.launched.settings import UNKNOWN, Settings
from mint_migrate.rules.verl.model import ModelKeys, plan_model
from mint_migrate.rules.verl.optimizer import plan_cosine, plan_warmup
from mint_migrate.rules.verl.saving import plan_places, plan_tracker
from mint_migrate.tables.versions import version_key

MODEL = ModelKeys(
    path="model.partial_pretrain",
    rank="model.lora_rank",
    alpha="model.lora_alpha",
    targets="model.target_modules",
)


def plan_sft(settings: Settings, read: Read) -> VerlSftScript:
    """Fill the record of a supervised training.

    Raises:
        Blocked: a loader of the user's own, or a schedule without a formula.
    """
    is_engine = settings.owner.entry == "sft_trainer"
    model = _engine_model(settings) if is_engine else MODEL
    plan_model(settings, model)
    suggest_serving(
        settings, model=model.path, counts=("trainer.nnodes", "trainer.n_gpus_per_node")
    )
    for key in ("data.custom_cls.path",):
        if settings.value(key).data is not None:
            raise Blocked("MM315", f"`{key}` loads data with a class of your own; write its rows")
        settings.exact(key, "nothing")
    settings.use("data.train_files", kind="str | list")
    settings.use("data.train_batch_size", comment="rows of an optimizer step")
    settings.use("data.max_length", comment="tokens")
    validates = _plan_validation(settings)
    rows = _plan_rows(settings, is_engine)
    cut = _plan_cut(settings)
    several = _plan_micro_batches(settings, is_engine)
    ref, schedule = _plan_optimizer(settings, is_engine)
    plan_places(settings)
    settings.use("trainer.total_epochs")
    limit = settings.value("trainer.total_training_steps").data is not None
    if limit:
        settings.use("trainer.total_training_steps")
    settings.exact("trainer.total_training_steps", "train")
    by_epoch = version_key(settings.version) < version_key("0.4")
    return VerlSftScript(
        names=NAMES,
        fields=(),
        schedule=schedule,
        ref=ref,
        rows=rows,
        cut=cut,
        # The default is the word `none`, which counts as true.
        thinks=bool(settings.value("data.enable_thinking_default").data),
        prompt_path="prompt_dict_keys" in settings.fields,
        response_path="response_dict_keys" in settings.fields,
        micro_batches=not is_engine,
        several_processes=several,
        validates=validates,
        validates_every="epoch" if by_epoch else _repeats(settings, "trainer.test_freq"),
        saves_every="epoch" if by_epoch else _repeats(settings, "trainer.save_freq"),
        limit_steps=limit,
        resumes=_plan_resume(settings),
        tracker=plan_tracker(settings),
    )


def _engine_model(settings: Settings) -> ModelKeys:
    return ModelKeys(
        path=settings.first("model.path", "model.partial_pretrain"),
        rank="model.lora_rank",
        alpha="model.lora_alpha",
        targets="model.target_modules",
    )


def _plan_cut(settings: Settings) -> str:
    """Return what becomes of rows that are too long: error | left | right, the end that is lost."""
    cut = str(settings.known("data.truncation") or "error")
    note = ""
    if cut == "left" and settings.value("data.pad_mode").data == "no_padding":
        cut, note = "right", "with `pad_mode=no_padding` the end is lost, whatever this says"
    settings.exact("data.truncation", "load_rows", note)
    return cut


def _repeats(settings: Settings, key: str) -> str:
    """Return when something comes beside the end: steps (a field then) | epoch | empty."""
    value = settings.value(key).data
    repeats = value is UNKNOWN or (isinstance(value, int) and value > 0)
    if repeats:
        settings.use(key, comment="steps")
    settings.exact(key, "train")
    if value == "after_each_epoch":
        return "epoch"
    return "steps" if repeats else ""


def _plan_validation(settings: Settings) -> bool:
    files = settings.value("data.val_files")
    if files.is_known and files.data is None:
        settings.exact("data.val_files", "nothing")
        return False
    settings.use("data.val_files", kind="str | list")
    return True


def _plan_rows(settings: Settings, is_engine: bool) -> str:
    """Return how a row becomes tokens."""
    is_conversation = is_engine or bool(settings.known("data.multiturn.enable"))
    settings.exact("data.multiturn.enable", "tokenize")
    if is_conversation:
        prefix = "data" if is_engine else "data.multiturn"
        for name, default in (("messages_key", "messages"), ("tools_key", "tools")):
            key = settings.first(f"{prefix}.{name}", f"data.multiturn.{name}")
            settings.use(key, name, kind="str")
            if settings.value(key).data is None:
                settings.add_field(name, f'"{default}"', "str")
        if version_key(settings.version) < version_key("0.7"):
            return "prefixes"
        _plan_thinking(settings, prefix)
        return "messages"
    for name, default in (("prompt", "prompt"), ("response", "response")):
        settings.use(f"data.{name}_key", kind="str")
        if settings.value(f"data.{name}_key").data is None:
            settings.add_field(f"{name}_key", f'"{default}"', "str")
        path = settings.value(f"data.{name}_dict_keys")
        if path.data:
            settings.use(f"data.{name}_dict_keys", kind="list")
        settings.exact(f"data.{name}_dict_keys", "tokenize")
    return "pairs"


def _plan_thinking(settings: Settings, prefix: str) -> None:
    """Make the column that turns thinking on or off a field."""
    key = settings.first(f"{prefix}.enable_thinking_key", "data.multiturn.enable_thinking_key")
    name = "enable_thinking_key"
    settings.use(key, name, kind="str")
    if settings.value(key).data is None:
        settings.add_field(name, '"enable_thinking"', "str")


def _plan_micro_batches(settings: Settings, is_engine: bool) -> bool:
    """Return whether the micro-batches are those of several processes."""
    key = settings.first("data.micro_batch_size_per_gpu", "data.micro_batch_size")
    if is_engine:
        settings.drop(key, "MM305", "the loss is a mean over all tokens of a step, however split")
        return False
    settings.use(key, "micro_batch_size_per_gpu", kind="int", comment="rows of a mean over tokens")
    if bool(settings.value("data.balance_dp_token").data):
        settings.differ(
            "data.balance_dp_token",
            "MM310",
            "tokens are counted for each process, not over all of them, when a mean is taken",
        )
    settings.exact("data.use_dynamic_bsz", "nothing")
    # Processes that share a sequence see the same rows.
    sharing = settings.value("ulysses_sequence_parallel_size").data
    number = (settings.num_processes or 1) // (sharing if isinstance(sharing, int) else 1)
    if number <= 1:
        return False
    settings.add_field("num_processes", str(number), "int", "of the original")
    return True


def _plan_optimizer(settings: Settings, is_engine: bool) -> tuple[dict[str, str], Schedule]:
    settings.use("optim.lr", "learning_rate", kind="float")
    betas = settings.value("optim.betas")
    beta1, beta2 = betas.data if isinstance(betas.data, list | tuple) else (0.9, 0.95)
    settings.exact("optim.betas", "AdamParams")
    ref = {
        "adam_beta1": repr(beta1),
        "adam_beta2": repr(beta2),
        "adam_epsilon": "1e-8",
        "weight_decay": settings.use("optim.weight_decay", kind="float"),
        "max_grad_norm": settings.use("optim.clip_grad", kind="float"),
    }
    if is_engine:
        kind = settings.known(settings.first("optim.lr_scheduler_type", "optim.warmup_style"))
        ratio = settings.first("optim.lr_warmup_steps_ratio", "optim.warmup_steps_ratio")
    else:
        kind, ratio = settings.known("optim.lr_scheduler"), "optim.warmup_steps_ratio"
    for key in ("optim.lr_scheduler_type", "optim.warmup_style", "optim.lr_scheduler"):
        settings.exact(key, "learning_rate_at")
    return ref, _schedule(settings, kind or ("constant" if is_engine else "cosine"), ratio)


def _schedule(settings: Settings, kind: str, ratio: str) -> Schedule:
    warmup = plan_warmup(settings, "optim.lr_warmup_steps", ratio)
    if kind == "cosine":
        return plan_cosine(settings, "optim", warmup)
    if kind == "constant":
        name = "constant_with_warmup" if warmup else "constant"
        return Schedule(kind=name, words=name.replace("_", " "), warmup=warmup)
    if kind != "wsd":
        raise Blocked("MM212", f"the schedule `{kind}` is none of cosine, wsd, constant")
    left = "(num_steps - warmup_steps)" if warmup else "num_steps"
    return Schedule(
        kind="warmup_stable_decay",
        words="constant, then half a cosine over the last tenth",
        warmup=warmup,
        decay_steps=f"{left} - int({left} * 0.9)",
        decay="0.5 * (1.0 + math.cos(math.pi * progress))",
    )


def _plan_resume(settings: Settings) -> bool:
    mode = settings.value("trainer.resume_mode").data
    if mode in {"auto", "disable", None}:
        settings.exact("trainer.resume_mode", "train")
    return bool(mode == "auto")
