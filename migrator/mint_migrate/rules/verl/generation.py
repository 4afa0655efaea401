"""The planner of `verl.trainer.main_generation`.

Source: verl `trainer/main_generation.py` (0.2 to 0.6).
"""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.script import Schedule
from mint_migrate.model.verl_generation_script import VerlGenerationScript
from mint_migrate.rules.launched.names import NAMES
from mint_migrate.rules.launched.serving import suggest_serving
from mint_migrate.rules.launched.settings import Settings


def plan_generation(settings: Settings, read: Read) -> VerlGenerationScript:
    """Fill the record of a launch that only samples."""
    settings.use("model.path", "model", kind="str", comment="a name that the server knows")
    suggest_serving(
        settings, model="model.path", counts=("trainer.nnodes", "trainer.n_gpus_per_node")
    )
    for key in ("path", "prompt_key", "output_path"):
        settings.use(f"data.{key}", kind="str")
    settings.use("data.n_samples", kind="int", comment="responses to each prompt")
    settings.use("rollout.prompt_length", kind="int", comment="tokens")
    sampling = [
        ("max_tokens", settings.use("rollout.response_length", kind="int", comment="tokens")),
        ("temperature", settings.use("rollout.temperature", kind="float")),
    ]
    for name, neutral in (("top_p", (1, None)), ("top_k", (0, -1, None))):
        key = f"rollout.{name}"
        if settings.value(key).data in neutral:
            settings.exact(key, "nothing", "has no effect with this value")
        else:
            sampling.append((name, settings.use(key)))
    return VerlGenerationScript(
        names=NAMES,
        fields=(),
        schedule=Schedule(kind="constant", words="constant"),
        ref={},
        sampling=tuple(sampling),
    )
