"""Child program: write data sets into a `datasets` cache, as if they had been downloaded once.

    python -m mint_migrate.bridge.hub_writer SPEC.json

The specification is `{"cache": DIR, "splits": {split: JSONL}, "requests": [{path, config,
data_files, data_dir}]}`. Every request is answered offline by `load_dataset` with the same splits.
Prepared once and linked for each request.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any


def main(spec_file: str) -> None:
    """Prepare the splits once and file them under every requested name and configuration."""
    # By name, so that type checkers without the library do not look for it.
    datasets = importlib.import_module("datasets")
    snake_case = importlib.import_module("datasets.naming").camelcase_to_snakecase

    datasets.disable_progress_bars()
    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    cache = Path(spec["cache"])
    builder = datasets.load_dataset_builder(
        "json", data_files=spec["splits"], cache_dir=str(cache / ".prepared")
    )
    builder.download_and_prepare()
    prepared = Path(builder.cache_dir)
    for request in spec["requests"]:
        *owner, name = request["path"].split("/")
        snake = snake_case(name)
        config = _config_id(datasets, request)
        target = cache / "___".join([*owner, snake]) / config / "0.0.0" / ("0" * 40)
        if not target.exists():
            _link(prepared, target, prefix=snake, config=config)


def _config_id(datasets: Any, request: dict[str, str | None]) -> str:
    """Return the folder name under which the library looks for this configuration."""
    given = {key: request[key] for key in ("data_files", "data_dir") if request[key] is not None}
    config = datasets.BuilderConfig(request["config"] or "default")
    return str(config.create_config_id(config_kwargs=given) if given else config.name)


def _link(prepared: Path, target: Path, *, prefix: str, config: str) -> None:
    """Copy a prepared data set, named as the library expects for this name and configuration."""
    target.mkdir(parents=True)
    for file in prepared.glob("*.arrow"):
        shutil.copyfile(file, target / f"{prefix}-{file.name.removeprefix('json-')}")
    info = json.loads((prepared / "dataset_info.json").read_text(encoding="utf-8"))
    info |= {"config_name": config, "dataset_name": prefix}
    for split in info["splits"].values():
        split["dataset_name"] = prefix
    (target / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
