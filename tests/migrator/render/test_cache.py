"""Compiled templates are kept between runs, and never needed."""

from __future__ import annotations

import jinja2
import pytest
from mint_migrate.render.cache import TemplateCache, cache_folder


def rendered(folder, text="{{ x }} of {{ y }}"):
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"a": text}), bytecode_cache=TemplateCache(str(folder))
    )
    return environment.get_template("a").render(x=1, y=2)


@pytest.fixture
def compiled(monkeypatch):
    """Return the names of the templates that are compiled."""
    names = []
    compile_ = jinja2.Environment.compile

    def compile_and_tell(self, source, name=None, *others, **options):
        names.append(name)
        return compile_(self, source, name, *others, **options)

    monkeypatch.setattr(jinja2.Environment, "compile", compile_and_tell)
    return names


def test_a_template_is_compiled_once_and_again_when_its_text_changes(tmp_path, compiled):
    folder = tmp_path / "cache" / "templates"
    assert rendered(folder) == rendered(folder) == "1 of 2"
    assert compiled == ["a"]
    assert rendered(folder, "{{ y }}") == "2"
    assert compiled == ["a", "a"]


@pytest.mark.parametrize("damage", [b"", b"no code", "half", "tail"])
def test_a_damaged_entry_is_made_again(tmp_path, compiled, damage):
    rendered(tmp_path)
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    cuts = {"half": whole[: len(whole) // 2], "tail": whole[:20]}
    entry.write_bytes(cuts.get(damage, damage))
    assert rendered(tmp_path) == "1 of 2"
    assert compiled == ["a", "a"]
    assert entry.read_bytes() == whole


def test_a_folder_that_cannot_be_made_costs_time_only(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert rendered(tmp_path / "file" / "templates") == "1 of 2"


@pytest.mark.parametrize(("base", "place"), [("/caches", "/caches"), ("here", "~/.cache")])
def test_the_folder_is_the_users(monkeypatch, tmp_path, base, place):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    expected = place.replace("~", str(tmp_path))
    assert cache_folder().parent.as_posix() == f"{expected}/mint-migrate"
