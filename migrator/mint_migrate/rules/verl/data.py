"""Rules: data files, prompts and their order.

Source: verl `utils/dataset/rl_dataset.py`, `trainer/ppo/utils.py` (0.9.1) and `trainer/main_ppo.py`
(0.2 to 0.7).
"""

from __future__ import annotations

from mint_migrate.launches.given import literal
from mint_migrate.model.verl_script import RowsScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import UNKNOWN, Settings


def plan_rows(settings: Settings) -> RowsScript:
    """Decide the options of the data.

    Raises:
        Blocked: a loader of the user's own, or images.
    """
    _check_loaders(settings)
    settings.use("data.train_files", kind="str | list")
    settings.use("data.val_files", kind="str | list")
    settings.use("data.prompt_key")
    settings.use("data.max_prompt_length", comment="tokens")
    has_chat_options = plan_chat_options(settings)
    shuffles = bool(settings.known("data.shuffle"))
    settings.exact("data.shuffle", "prompt_order")
    order = settings.tables.fact("verl_data_order", settings.version)
    seed = settings.value("data.seed")
    settings.use("data.seed", "data_seed", kind="int | None")
    limited = settings.value("data.train_max_samples")
    has_limit = limited.data is UNKNOWN or (isinstance(limited.data, int) and limited.data > 0)
    if has_limit:
        settings.use("data.train_max_samples")
    cut = settings.known("data.truncation")
    settings.exact("data.truncation", "load_rows")
    filters = bool(settings.known("data.filter_overlong_prompts"))
    settings.exact("data.filter_overlong_prompts", "load_rows")
    return RowsScript(
        filters=filters,
        cut=str(cut or "error"),
        chat_options=("**config.apply_chat_template_kwargs",) if has_chat_options else (),
        samples=has_limit,
        draws_sample=shuffles,
        shuffles=shuffles,
        wastes_permutation=order.value == "torch",
        sample_seed=literal(seed.data) if seed.is_known else seed.text,
    )


def plan_chat_options(settings: Settings) -> bool:
    """Decide what the chat template is given, as a mapping or item by item; say if anything is."""
    key = "data.apply_chat_template_kwargs"
    items = {name: name.removeprefix(f"{key}.") for name in settings.given if name.startswith(key)}
    single = {name: option for name, option in items.items() if name != key}
    whole = settings.value(key)
    settings.exact(key, "apply_chat_template(...)")
    if single:
        texts = [f"**{whole.text}"] if whole.data else []
        texts += [f'"{option}": {settings.value(name).text}' for name, option in single.items()]
        settings.add_field("apply_chat_template_kwargs", f"{{{', '.join(texts)}}}", "dict")
        for name in single:
            settings.exact(name, "config.apply_chat_template_kwargs")
    elif whole.data:
        settings.use(key, kind="dict")
    return bool(single or whole.data)


def _check_loaders(settings: Settings) -> None:
    for key in ("data.image_key", "data.video_key"):
        if settings.is_given(key) and settings.value(key).data is not None:
            raise Blocked(
                "MM313", f"`{key}` names images or videos in the rows; MinT's models read text"
            )
    for key in ("data.custom_cls.path", "data.sampler.class_path", "data.datagen.path"):
        if settings.value(key).data is not None:
            raise Blocked("MM315", f"`{key}` loads data with a class of your own; write its rows")
        settings.exact(key, "nothing")
