"""The `mint-runtime` command.

Assembles the layers; heavy imports happen in the commands that need them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mint_runtime import __version__
from mint_runtime.config import (
    ServerSettings,
    check_exposure,
    default_state_dir,
    parse_base_models,
)
from mint_runtime.errors import RuntimeServerError, UserError
from mint_runtime.observe.log import LogFormat
from mint_runtime.service.profiles import PROFILES, ProfileName

if TYPE_CHECKING:
    from mint_runtime.engine.protocol import Engine
    from mint_runtime.engine.settings import EngineSettings

_INSTALL = 'pip install "mint-migrate[runtime]"'

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A server for the MinT / Tinker training API on this machine.",
)


class Architecture(StrEnum):
    """What `tiny-model` can make."""

    QWEN3 = "qwen3"
    QWEN2 = "qwen2"
    LLAMA = "llama"
    LLAMA3 = "llama3"
    GEMMA3 = "gemma3"
    MISTRAL = "mistral"
    MISTRAL_SLIDING = "mistral_sliding"
    QWEN3_MOE = "qwen3_moe"


class Dtype(StrEnum):
    """Type of the frozen base weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def _fail(message: str) -> NoReturn:
    # Messages of libraries may span lines; a refusal is one.
    typer.echo(f"mint-runtime: {' '.join(message.split())}", err=True)
    raise typer.Exit(2)


@contextmanager
def _importing() -> Iterator[None]:
    """Import without collecting garbage.

    Modules stay, and the collector would look through all of them again and again: a quarter of
    what the imports take.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mint-runtime {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del version


@app.command()
def serve(
    base_model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=DIR]",
            help="Serve the model in DIR as NAME; without DIR, transformers finds it. Repeatable.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, cuda:1.")] = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Type of the base weights.")] = Dtype.FLOAT32,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for the catalogue and checkpoints.", show_default="per user"),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="MINT_RUNTIME_API_KEY",
            help="The only key that is accepted. Needed when other machines can reach the server.",
        ),
    ] = None,
    max_lora_rank: Annotated[int, typer.Option(min=1, help="Largest rank of an adapter.")] = 128,
    max_adapters: Annotated[int, typer.Option(min=1, help="Most models in memory at once.")] = 64,
    max_body_mb: Annotated[int, typer.Option(min=1, help="Largest request, in MiB.")] = 512,
    max_upload_mb: Annotated[
        int, typer.Option(min=1, help="Largest uploaded checkpoint, in MiB, packed and unpacked.")
    ] = 4096,
    profile: Annotated[
        ProfileName,
        typer.Option(help="Serve everything, or only what the hosted service has too."),
    ] = ProfileName.FULL,
    allow_remote_code: Annotated[
        bool,
        typer.Option("--allow-remote-code", help="Run python files that come with a base model."),
    ] = False,
    initial_adapter: Annotated[Path | None, typer.Option(hidden=True)] = None,
    replay: Annotated[Path | None, typer.Option(hidden=True)] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(help='File to write {"url", "pid"} to, once requests are answered.'),
    ] = None,
    stop_with_stdin: Annotated[
        bool, typer.Option("--stop-with-stdin", help="Stop when standard input ends.")
    ] = False,
    log_format: Annotated[
        LogFormat, typer.Option(help="How lines on standard error look.")
    ] = LogFormat.TEXT,
) -> None:
    """Serve base models until a signal comes. Prints `listening on URL` when ready.

    Exit status: 0 after a signal, 2 when the options cannot be used.
    """
    try:
        check_exposure(host, api_key)
        models = parse_base_models(base_model or [])
    except RuntimeServerError as error:
        _fail(str(error))
    try:
        from mint_runtime.engine.settings import EngineSettings
        from mint_runtime.observe.log import configure
        from mint_runtime.server import serve as run
        from mint_runtime.service.settings import ServiceSettings
    except ImportError as error:
        _fail_missing(error)
    try:
        engine_settings = EngineSettings(
            base_models=models,
            device=device,
            dtype=dtype.value,
            max_lora_rank=max_lora_rank,
            max_adapters=max_adapters,
            initial_adapter=initial_adapter,
            replay=replay,
            allow_remote_code=allow_remote_code,
        )
        configure(log_format)
        run(
            lambda: _local_engine(engine_settings),
            ServiceSettings(
                state_dir=(state_dir or default_state_dir()).expanduser().resolve(),
                api_key=api_key,
                max_body_bytes=max_body_mb << 20,
                max_upload_bytes=max_upload_mb << 20,
                profile=PROFILES[profile],
                max_models=max_adapters,
            ),
            ServerSettings(
                host=host, port=port, ready_file=ready_file, stop_with_stdin=stop_with_stdin
            ),
            lambda url: typer.echo(f"listening on {url}"),
        )
    except RuntimeServerError as error:
        _fail(str(error))


@app.command("tiny-model")
def tiny_model(
    directory: Annotated[
        Path, typer.Argument(help="Folder to write; new, empty, or an earlier tiny model.")
    ],
    architecture: Annotated[
        Architecture, typer.Option(help="Kind of transformer.")
    ] = Architecture.QWEN3,
    vocab_size: Annotated[int, typer.Option(help="Rows of the embedding.")] = 1024,
    hidden_size: Annotated[int, typer.Option(help="Width of the residual stream.")] = 64,
    num_layers: Annotated[int, typer.Option(help="Number of layers.")] = 2,
    head_dim: Annotated[int, typer.Option(help="Width of one attention head.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the random weights.")] = 0,
) -> None:
    """Write a small random model with tokenizer and chat template, for tests and demonstrations."""
    try:
        with _importing():
            from mint_runtime.tiny_model import build_tiny_model
    except ImportError as error:
        _fail_missing(error)
    try:
        build_tiny_model(
            directory,
            architecture=architecture.value,
            vocab_size=vocab_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            head_dim=head_dim,
            seed=seed,
        )
    except UserError as error:
        _fail(str(error))
    typer.echo(f"wrote {directory}")


def _local_engine(settings: EngineSettings) -> Engine:
    try:
        with _importing():
            from mint_runtime.engine.local import LocalEngine
    except ImportError as error:
        _fail_missing(error)
    return LocalEngine(settings)


def _fail_missing(error: ImportError) -> NoReturn:
    if (error.name or "").startswith("mint_runtime"):
        raise error
    _fail(f"`{error.name}` is not installed; {_INSTALL}")


def main() -> None:
    """Run the command line."""
    app()
