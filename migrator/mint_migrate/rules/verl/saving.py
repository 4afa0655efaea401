"""Rules: checkpoints and trackers."""

from __future__ import annotations

from mint_migrate.launches.given import literal
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.launched.settings import UNKNOWN, Settings

TRACKERS = ("wandb", "tensorboard")


def plan_saving(settings: Settings) -> tuple[bool, bool]:
    """Return whether checkpoints are saved, and whether training goes on from the last one."""
    plan_places(settings)
    frequency = settings.value("trainer.save_freq").data
    saves = frequency is UNKNOWN or (isinstance(frequency, int) and frequency > 0)
    if saves:
        settings.use("trainer.save_freq", comment="rollouts between two checkpoints")
    settings.exact("trainer.save_freq", "train")
    mode = settings.value("trainer.resume_mode").data
    resumes = saves and mode == "auto"
    if mode in {"auto", "disable"}:
        settings.exact("trainer.resume_mode", "train")
    return saves, resumes


def plan_places(settings: Settings) -> None:
    """Decide what the run is called and where it writes."""
    settings.use("trainer.project_name")
    settings.use("trainer.experiment_name")
    folder = settings.value("trainer.default_local_dir")
    if folder.given is not None:
        settings.use("trainer.default_local_dir", "output_dir")
        return
    names = [settings.value(f"trainer.{key}") for key in ("project_name", "experiment_name")]
    if all(name.is_known for name in names):
        default = literal("/".join(["checkpoints", *(str(name.data) for name in names)]))
    else:
        default = " + ".join(['"checkpoints/"', names[0].text, '"/"', names[1].text])
    settings.add_field("output_dir", default, "str")


def plan_tracker(settings: Settings) -> str:
    """Return the tracker that the result writes to besides its own file."""
    named = settings.value("trainer.logger").data
    wanted = [named] if isinstance(named, str) else list(named or [])
    tracker = next((item for item in TRACKERS if item in wanted), "")
    lost = [item for item in wanted if item not in {"console", tracker}]
    if lost:
        settings.decide(
            "trainer.logger",
            Fidelity.APPROXIMATE,
            "MM226",
            "metrics.jsonl",
            f"{', '.join(f'`{item}`' for item in lost)} is not written to",
        )
    else:
        settings.exact("trainer.logger", "metrics.jsonl")
    return tracker
