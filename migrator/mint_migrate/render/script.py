"""Render the functions of a converted script."""

from __future__ import annotations

import ast
from functools import cache

import jinja2

from mint_migrate.model.script import LoopScript, TrainingScript
from mint_migrate.render.cache import TemplateCache, cache_folder
from mint_migrate.resources import data_dir


def render_functions(script: TrainingScript) -> str:
    """Return the functions of a script, laid out by the templates alone."""
    templates = ["_partials/sampled_model.py.j2"] if script.samples else []
    templates.append(script.template)
    texts = [_environment().get_template(name).render(s=script).strip() for name in templates]
    options = script.options if isinstance(script, LoopScript) else None
    if options is not None:
        first = _environment().get_template("_partials/options.py.j2").render(o=options).strip()
        texts.insert(0, first)
    return "\n\n\n".join(texts) + "\n"


def render_template(name: str) -> str:
    """Return a template that has nothing to fill in."""
    return _environment().get_template(name).render()


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_load),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        bytecode_cache=TemplateCache(str(cache_folder())),
    )
    environment.filters["src"] = source_expression
    return environment


def _load(name: str) -> str:
    folder = data_dir("templates")
    for part in name.split("/"):
        folder = folder / part
    return folder.read_text(encoding="utf-8")


def source_expression(text: str) -> str:
    """Return *text*, which must be one Python expression.

    Raises:
        SyntaxError: it is not; a template would write broken code.
    """
    ast.parse(f"({text}\n)", mode="eval")
    return text
