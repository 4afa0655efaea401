"""`mint-migrate verify`: does the converted script still train the same?

The original runs in a harness that exports the adapter it starts from and records its steps. A
runtime is started with that adapter and the converted script runs on it, unmodified. Both sides'
steps are compared. Seeds are never relied on for the start; the order of the data is each script's
own business and is part of what is compared.
"""

from __future__ import annotations

import ast
import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mint_migrate.bridge.constants import collect
from mint_migrate.bridge.errors import CannotRun
from mint_migrate.bridge.names import find_names
from mint_migrate.bridge.process import termination_raises
from mint_migrate.bridge.runtime import (
    Runtime,
    architecture_for,
    model_folder,
    require_runtime,
    serve,
    tiny_model,
)
from mint_migrate.bridge.world import (
    World,
    build_world,
    parse_script,
    quiet_environment,
    write_missing_files,
)
from mint_migrate.parity.causes import likely_cause
from mint_migrate.parity.children import (
    Child,
    adapter_folder,
    aligned_shape,
    converted_steps,
    original_steps,
    replay_file,
    scratch_copy,
    start_child,
    wait_for_start,
)
from mint_migrate.parity.compare import Comparison, compare
from mint_migrate.parity.harness.overrides import OVERRIDES
from mint_migrate.parity.harness.spec import ChildSpec

DEFAULT_STEPS = 20
DEFAULT_TIMEOUT_S = 1800.0
DEFAULT_RANK = 32
"""Of `create_lora_training_client`, where the converted script does not name one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """What is compared, and on what."""

    num_steps: int = DEFAULT_STEPS
    base_model: Path | None = None
    """Folder that stands for every model name; a tiny random model when absent."""
    data: Path | None = None
    """JSON, JSON lines or CSV that stands for every data set; synthetic rows when absent."""
    args: tuple[str, ...] = ()
    """Command-line arguments of both scripts."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    """For each script."""
    cache: Path | None = None
    """Where tiny models are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """Both trainings and what follows from them."""

    original: Path
    converted: Path
    comparison: Comparison
    cause: str | None
    """The likely cause of the first difference."""
    aligned: str | None
    """Shape of the LoRA adapter that replaced what the original trains, and why."""
    overrides: tuple[str, ...]
    world: tuple[str, ...]
    num_steps: int
    """Requested."""

    @property
    def exit_status(self) -> int:
        """0 where the trainings are equal, 1 where they differ."""
        return 0 if self.comparison.is_equal else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """Everything the two children need."""

    original: Path
    converted: Path
    converted_source: str
    root: Path
    world: World
    options: VerifyOptions


def verify(
    original: Path,
    converted: Path | None = None,
    options: VerifyOptions | None = None,
    *,
    convert: Callable[[Path, Path], None] | None = None,
    whole: Callable[[Path], str | None] = lambda _original: None,
    notify: Callable[[str], None] = lambda _line: None,
) -> VerifyResult:
    """Train both scripts for some steps and compare them.

    Module-level effects of both scripts happen, outside their scratch folders too where they use
    absolute paths.

    Args:
        original: the script that trains with TRL.
        converted: its conversion. When absent, `<stem>_mint.py` beside the original, else what
            `convert` writes.
        options: see `VerifyOptions`.
        convert: called with the original and the path to write, where there is no conversion yet.
        whole: returns the original with what it imports from its project, where that matters to
            the data and models that stand in.
        notify: receives progress, one sentence at a time.

    Raises:
        BridgeError: a script, the runtime or the world could not be run.
    """
    options = options or VerifyOptions()
    if options.num_steps < 1:
        raise CannotRun(f"--steps must be at least 1, found {options.num_steps}")
    require_runtime()
    source = parse_script(original)
    with contextlib.ExitStack() as stack:
        stack.enter_context(termination_raises())
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="mint-migrate-verify-"))
        root = Path(name).resolve()
        found = _find_converted(original, converted, convert, root)
        text = parse_script(found)
        notify(
            "module-level effects of both scripts will happen; they run in scratch copies, offline"
        )
        world = _world(whole(original) or source, text, original, root, options)
        for note in world.notes:
            notify(note)
        job = _Job(
            original=original.resolve(),
            converted=found,
            converted_source=text,
            root=root,
            world=world,
            options=options,
        )
        comparison, aligned = _train_both(job, notify)
    return VerifyResult(
        original=original,
        converted=converted or (found if not found.is_relative_to(root) else Path(found.name)),
        comparison=comparison,
        cause=likely_cause(comparison),
        aligned=aligned,
        overrides=tuple(sentence for sentence, _apply in OVERRIDES),
        world=world.notes,
        num_steps=options.num_steps,
    )


def _find_converted(
    original: Path, converted: Path | None, convert: Callable[[Path, Path], None] | None, root: Path
) -> Path:
    """Return the conversion to compare, written now if need be.

    Raises:
        CannotRun: there is none and none can be made.
    """
    if converted is not None:
        return converted.resolve()
    beside = original.with_name(f"{original.stem}_mint.py")
    if beside.is_file():
        return beside.resolve()
    if convert is None:
        raise CannotRun(
            f"{beside} does not exist: convert {original} first, or name the conversion"
        )
    target = root / "migrated" / beside.name
    target.parent.mkdir()
    convert(original, target)
    if not target.is_file():
        raise CannotRun(
            f"{original} could not be converted, so there is nothing to compare it with"
        )
    return target


def _world(source: str, text: str, original: Path, root: Path, options: VerifyOptions) -> World:
    """Build the stand-in hub that both scripts see."""
    return build_world(
        source,
        root / "hub",
        args=options.args,
        folder=original.parent,
        num_steps=options.num_steps,
        also=text,
        base_model=model_folder(str(options.base_model)) if options.base_model else None,
        data=options.data,
        cache=options.cache,
        # peft trains the experts of a layer as one tensor, with a rank and factors of its own:
        # there is no adapter that both sides could start from.
        with_experts=False,
    )


def _train_both(job: _Job, notify: Callable[[str], None]) -> tuple[Comparison, str | None]:
    """Run the original, the runtime and the converted script; compare what they recorded."""
    environment = job.world.hub.apply_to(quiet_environment()) | {"CUDA_VISIBLE_DEVICES": ""}
    with contextlib.ExitStack() as stack:
        notify("training the original")
        original = start_child(
            _spec(job, is_original=True),
            cwd=_scratch(job, "original", job.original),
            env=environment,
            timeout_s=job.options.timeout_s,
        )
        stack.enter_context(original.process)
        # The server reads the adapter when the first model is created, so it may start meanwhile.
        runtime = stack.enter_context(_runtime(job, original, environment))
        wait_for_start(original)
        notify("training the converted script on the runtime")
        converted = start_child(
            _spec(job, is_original=False),
            cwd=_scratch(job, "converted", job.converted),
            env=environment | runtime.client_environment(),
            timeout_s=job.options.timeout_s,
        )
        stack.enter_context(converted.process)
        left, was_stopped = original_steps(original)
        right, refusal = converted_steps(converted, runtime, len(left), was_stopped=was_stopped)
        return compare(left, right, refusal=refusal), aligned_shape(original)


def _runtime(
    job: _Job, original: Child, environment: dict[str, str]
) -> contextlib.AbstractContextManager[Runtime]:
    """Start a runtime whose first model has the original's adapter, and samples its completions."""
    return serve(
        _served(job),
        state_dir=job.root / "state",
        initial_adapter=adapter_folder(original),
        replay=replay_file(original),
        dtype="float32",
        device="cpu",
        env=environment,
    )


def _served(job: _Job) -> dict[str, Path | None]:
    """Return what the runtime serves: what the converted script asks for, else every model."""
    asked = find_names(job.converted_source, job.options.args, folder=job.original.parent)
    names = asked.base_models or asked.models
    served: dict[str, Path | None] = {}
    for name in names:
        local = job.original.parent / name
        if (local / "config.json").is_file() and name not in job.world.models:
            served[name] = local
        else:
            served[name] = job.world.models.get(name) or tiny_model(
                architecture_for(name, with_experts=False), cache=job.options.cache
            )
    if not served:
        raise CannotRun(
            f"{job.converted} does not say which base model it trains in a way that can be read"
        )
    return served


def _scratch(job: _Job, side: str, script: Path) -> Path:
    """Return a scratch copy of the original's folder with one of the scripts in it."""
    folder = job.root / side / "folder"
    scratch_copy(job.original.parent, folder)
    source = job.original.read_text(encoding="utf-8")
    names = find_names(source, job.options.args, folder=folder)
    write_missing_files(
        source, folder, names, num_steps=job.options.num_steps, data=job.options.data
    )
    if not script.is_relative_to(job.original.parent):
        (folder / script.name).write_bytes(script.read_bytes())
    return folder


def _spec(job: _Job, *, is_original: bool) -> ChildSpec:
    side = "original" if is_original else "converted"
    script = job.original if is_original else job.converted
    inside = script.is_relative_to(job.original.parent)
    relative = script.relative_to(job.original.parent) if inside else Path(script.name)
    return ChildSpec(
        script=str(job.root / side / "folder" / relative),
        args=job.options.args,
        output=str(job.root / side / "output"),
        num_steps=job.options.num_steps,
        is_original=is_original,
        lora_rank=target_rank(job.converted_source),
    )


def target_rank(source: str) -> int:
    """Return the rank that a converted script asks the runtime for, as far as its text says."""
    constants = collect(ast.parse(source))
    numbers = constants.numbers_of("rank") or constants.numbers_of("lora_rank")
    return int(numbers[0]) if numbers else DEFAULT_RANK
