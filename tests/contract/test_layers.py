"""Imports go in one direction. The tables below are the pictures of `ARCHITECTURE.md`.

A layer is named by the start of a module's name, the longest that fits. Its own modules may import
each other; beyond that it imports what its row lists.
"""

from __future__ import annotations

import graphlib

import pytest
from support.imports import Import, imports, modules

STAGES = ("analyse", "check", "detect", "plan", "render", "rewrite", "suppress")
MIGRATOR: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "resources": set(),
    "model": set(),
    "stamp": {""},
    "tables": {"model", "resources"},
    "detect": {"model"},
    "suppress": {"model"},
    "analyse.walk": set(),
    "analyse.text": {"model", "analyse.walk"},
    "analyse": {"model", "analyse.text", "analyse.walk"},
    "rules.base": {"model", "tables", "analyse.text"},
    "rules": {"model", "tables", "rules.base", "analyse.text", "analyse.walk"},
    "plan": {"model", "tables", "rules", "rules.base"},
    "render": {"check.names", "model", "resources", "analyse.walk"},
    "rewrite": {"model", "analyse", "analyse.text"},
    "check.names": set(),
    "check": {"model", "tables", "analyse.walk", "check.names"},
    "pipeline": {"model", "tables", "analyse.text", *STAGES},
    "report": {"model"},
    "shell": set(),
    "launches": {"model", "shell", "tables"},
    "rules.launched": {"launches", "model", "rules.base", "shell", "tables"},
    "rules.verl": {"launches", "model", "rules.base", "rules.launched", "shell", "tables"},
    "rules.openrlhf": {"launches", "model", "rules.base", "rules.launched", "shell", "tables"},
    "fronts.json_spans": set(),
    "fronts.magics": set(),
    "fronts.notebook": {"fronts.json_spans"},
    "fronts": {
        *(
            "analyse",
            "check",
            "detect",
            "fronts.magics",
            "fronts.notebook",
            "launches",
            "local",
            "model",
        ),
        *("pipeline", "render", "rewrite", "rules.base", "rules.launched", "shell", "tables"),
        "todo",
    },
    "outputs": {"", "fronts.notebook", "stamp", "todo"},
    "files": {"errors", "model", "outputs"},
    "ignored": set(),
    "folders": {"ignored", "model", "project"},
    "local": {"analyse", "analyse.text", "analyse.walk", "files", "model", "project"},
    "gather": {"detect", "folders", "local", "model"},
    "pool": set(),
    "scan": {
        *("analyse", "analyse.text", "analyse.walk", "detect", "files", "folders"),
        *("launches", "local", "model", "tables"),
    },
    "project": set(),
    "journal": {"", "errors", "files", "project"},
    "todo": {"model"},
    "dispatch": {"detect", "files", "fronts", "local", "model", "pipeline", "project", "tables"},
    "batch": {
        *("dispatch", "errors", "files", "gather", "journal", "model", "outputs", "pipeline"),
        *("pool", "render", "report", "rewrite", "todo"),
    },
    "bridge": {"", "errors"},
    "parity": {"bridge"},
    "bridge.commands": {"bridge", "files", "parity"},
    "assistant": {"errors", "model", "pipeline", "render", "resources", "tables"},
    "console": {"errors", "model", "report"},
}
"""What each layer of `mint_migrate` imports. The `cli*` modules, which assemble, have no row."""
RUNTIME: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "wire": set(),
    "observe": set(),
    "static": set(),
    "config": {"errors"},
    "model": {"errors"},
    "losses": {"errors"},
    "optim": {"errors", "model"},
    "sampler": {"errors", "model"},
    "engine.commands": {"errors"},
    "engine.protocol": {"engine.commands", "errors"},
    "engine": {
        *("engine.commands", "engine.protocol", "errors"),
        *("losses", "model", "optim", "sampler"),
    },
    "service": {"", "engine.commands", "engine.protocol", "errors", "observe", "wire"},
    "server": {"config", "engine", "engine.protocol", "errors", "observe", "service"},
    "tiny_model": {"errors", "model"},
}
"""The same for `mint_runtime`: a request goes down, and nothing imports upwards."""
ASSEMBLES = ("cli", "__main__")
TABLES = {"mint_migrate": MIGRATOR, "mint_runtime": RUNTIME}

TRAINING = {"accelerate", "datasets", "mint", "peft", "tinker", "torch", "transformers", "trl"}
ONLY_IN = {
    ("mint_migrate", "jinja2"): ("render",),
    ("mint_migrate", "libcst"): ("rewrite",),
    ("mint_migrate", "rich"): ("assistant.render", "console", "parity.render", "report"),
    ("mint_migrate", "pydantic"): ("tables",),
    ("mint_runtime", "torch"): ("engine", "losses", "model", "optim", "sampler", "tiny_model"),
    ("mint_runtime", "transformers"): (
        *("model", "sampler", "tiny_model"),
        # Text in and out is what these endpoints are for; tokenizers need no torch.
        "service.openai.tokenizer",
    ),
    ("mint_runtime", "prometheus_client"): ("observe",),
    ("mint_runtime", "starlette"): ("service",),
    ("mint_runtime", "uvicorn"): ("server",),
    ("mint_runtime", "sqlite3"): ("service.store",),
    ("mint_runtime", "pydantic"): ("wire",),
    ("mint_runtime", "msgspec"): ("wire",),
}
"""The layers that may import a package from outside."""


def layer(module: str, table: dict[str, set[str]]) -> str | None:
    """Return the row of *table* for a module of ours; None for one that assembles."""
    inner = module.partition(".")[2]
    if inner.split(".")[0].split("_")[0] == "cli" or inner in ASSEMBLES:
        return None
    fitting = [row for row in table if f"{inner}.".startswith(f"{row}.") or row == inner]
    assert fitting, f"{module} belongs to no layer: give it a row in the table of this test"
    return max(fitting, key=len)


def upward(each: Import, package: str) -> bool:
    """Say whether an import is one that the table does not allow."""
    table = TABLES[package]
    if each.imported.partition(".")[0] != package:
        return False
    source, target = layer(each.importer, table), layer(each.imported, table)
    if source is None:
        return False
    return target is None or (source != target and target not in table[source])


@pytest.mark.parametrize("package", TABLES)
def test_every_module_has_a_layer(package):
    rows = {layer(name, TABLES[package]) for name in modules(package)}
    assert rows - {None} <= set(TABLES[package])


@pytest.mark.parametrize("package", TABLES)
def test_layers_import_only_what_their_row_lists(package):
    assert [str(each) for each in imports(package) if upward(each, package)] == []


@pytest.mark.parametrize("package", TABLES)
def test_the_layers_have_an_order(package):
    assert list(graphlib.TopologicalSorter(TABLES[package]).static_order())


def test_the_migrator_imports_no_training_library():
    found = [
        str(each)
        for each in imports("mint_migrate")
        if each.imported.partition(".")[0] in TRAINING
        and not each.importer.startswith("mint_migrate.parity.harness")
    ]
    assert found == []


@pytest.mark.parametrize(("package", "library"), ONLY_IN, ids=lambda value: value)
def test_a_library_is_imported_only_where_it_belongs(package, library):
    places = tuple(f"{package}.{layer}" for layer in ONLY_IN[package, library])
    importers = [each for each in imports(package) if each.imported.partition(".")[0] == library]
    assert importers
    assert [
        str(each)
        for each in importers
        if not any(f"{each.importer}.".startswith(f"{place}.") for place in places)
    ] == []


@pytest.mark.parametrize("name", ["mint_runtime.engine.protocol", "mint_runtime.engine.commands"])
def test_the_contract_of_the_engine_is_free_of_torch(name):
    imported = {each.imported for each in imports("mint_runtime") if each.importer == name}
    assert imported & {"torch", "transformers", "mint_runtime.engine.local"} == set()
