"""Rules that score by data source: what each says of an answer, and when a result brings it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from mint_migrate.fronts.launchers import migrate_launcher
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.source import Options, Source
from support.scripts import tables
from support.verl_launch import LAUNCH, by_option, launched, script_of
from support.verl_math import loaded

GRPO = {"algorithm.adv_estimator": "grpo", "actor_rollout_ref.rollout.n": 4}
FILES = "['gsm8k/train.parquet','math/train.parquet','dapo-math-17k.parquet']"
MATH, GSM8K = "lighteval/MATH", "openai/gsm8k"
MORE = " and so on" * 40
BUILDER = """\
import os
import datasets
source = "{source}"
rows = datasets.load_dataset("mine").map(lambda row: {{"data_source": source}})
rows.to_parquet(os.path.join("~/made/{folder}", {file}))
"""


def score(source: str, response: str, truth: str, release: str = "0.9.1") -> Any:
    """Return what the rules of a converted launcher say."""
    script = script_of(launched({"data.train_files": FILES, **GRPO}, release))
    return loaded(script)["compute_score"](source, response, truth)


def converted(files: Mapping[str, str], data: str, *, before: str = "") -> Migrated:
    """Convert a launcher that finds these files."""
    options = {**LAUNCH, **GRPO, "data.train_files": data, "data.val_files": data}
    words = [f"'{key}={value}'" for key, value in options.items()]
    text = f"{before}python3 -m verl.trainer.main_ppo {' '.join(words)}\n"
    source = Source(path="run.sh", content=text.encode(), text=text, newline="\n")
    release = Options(launched_version=("verl", "0.9.1", "said by the test"))
    result = migrate_launcher(source, release, tables(), files.get)
    assert isinstance(result, Migrated), result
    return result


def brought(result: Migrated) -> set[str]:
    """Return the rules that a result brings."""
    lines = script_of(result).splitlines()
    found = {line.removeprefix("def score_").partition("(")[0] for line in lines if "def s" in line}
    return found & {"gsm8k", "math", "math_dapo"}


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"\frac12", r"\tfrac{1}{2}"),
        (r"\frac1{72}", r"\frac{1}{72}"),
        ("0.5", r"\frac12"),
        (".5", "1/2"),
        ("-3/4", r"\frac{-3}{4}"),
        (r"\sqrt3", r"\sqrt{3}"),
        (r"12\text{ cm}", "12"),
        (r"50\%", "50"),
        (r"\$32", "32"),
        (r"90^\circ", "90"),
        ("x = 5", "5"),
        (r"\left( 1,\!2 \right)", "(1,2)"),
        (r"\frac{\sqrt{2}}{3}", r"\frac{\sqrt2}{3}"),
        (r"\frac", r"\frac"),
        (r"1\text{ m}\text{ s}", r"1\text{ m}\text{ s}"),
    ],
)
def test_two_ways_to_write_an_answer_of_math_are_one(answer, truth):
    assert score(MATH, rf"So it is $\boxed{{{answer}}}$.", truth) == 1.0


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("7", "7"),
        (r"\fbox{7}", "7"),
        (r"\boxed{7", "7"),
        (r"\boxed{7} or \boxed{8}", "7"),
        (r"\boxed{1000}", "1,000"),
        (r"\boxed{\text{Evelyn}}", "Evelyn"),
        (r"\boxed{length = 5}", "5"),
        (r"\boxed{07/2}", r"\frac{7}{2}"),
        (r"\boxed{\sqrt}", r"\sqrt{}"),
    ],
)
def test_an_answer_of_math_is_wrong_where_verl_says_so(response, truth):
    assert score(MATH, response, truth) == 0.0


@pytest.mark.parametrize(
    ("response", "pred", "is_right"),
    [
        ("Answer: 1,000", "1000", True),
        ("answer : $1000$ apples", "1000", True),
        ("Answer: 7\nANSWER: x = 1000 units", "1000", True),
        (r"Answer: \boxed{1000}", "1000", True),
        ("Answer: 1,000 or so", "1,000orso", False),
        (r"\boxed{1000}", "1000", True),
        (r"\boxed{1,000}", "1,000", False),
        (r"\boxed{1000}" + MORE[:200], "[INVALID]", False),
        ("Answer: 1000" + MORE, "[INVALID]", False),
        ("1000", "[INVALID]", False),
    ],
)
@pytest.mark.parametrize("source", ["math_dapo", "math", "aime2024"])
def test_an_answer_of_dapo_stands_behind_its_word(source, response, pred, is_right):
    found = score(source, response, "1000")

    assert found == {"score": 1.0 if is_right else -1.0, "acc": is_right, "pred": pred}


@pytest.mark.parametrize(
    ("source", "response", "truth", "before", "after"),
    [
        (GSM8K, "#### 1 #### 2", "2", ("0.4.0", 0.0), ("0.4.1", 1.0)),
        (GSM8K, "#### 2" + MORE, "2", ("0.4.1", 1.0), ("0.5.0", 0.0)),
        (MATH, r"\boxed{a/b }", "a/b", ("0.3.0.post1", 0.0), ("0.4.0", 1.0)),
        (MATH, r"\boxed{5\\\%}", "5", ("0.6.0", 0.0), ("0.6.1", 1.0)),
        ("math_dapo", r"\boxed{2}", "2", ("0.9.0", -1.0), ("0.9.1", 1.0)),
    ],
)
def test_rules_are_those_of_the_release(source, response, truth, before, after):
    for release, expected in (before, after):
        found = score(source, response, truth, release)
        assert (found["score"] if isinstance(found, dict) else found) == expected


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("def score_math_dapo", "0.3.0.post1", "0.4.0"),
        ("HuggingFaceH4/MATH-500", "0.4.1", "0.5.0"),
        ("math_dapo_reasoning", "0.5.0", "0.6.0"),
    ],
)
def test_a_release_scores_the_sources_that_it_knows(text, before, after):
    options = {"data.train_files": FILES, **GRPO}
    assert text not in script_of(launched(options, before))
    assert text in script_of(launched(options, after))


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("data/gsm8k/train.parquet", {"gsm8k"}),
        ("data/math/train.parquet", {"math"}),
        ("data/MATH-500.parquet", {"math"}),
        ("dapo-math-17k.parquet", {"math_dapo"}),
        ("math_dapo/train.parquet", {"math_dapo"}),
        ("data/aime-2024.parquet", {"math_dapo"}),
        ("['data/gsm8k/a.parquet','data/math/a.parquet']", {"gsm8k", "math"}),
        ("data/mathematics/train.parquet", set()),
        ("data/puzzles/train.parquet", set()),
    ],
)
def test_names_of_data_files_hint_at_rules(file, rules):
    assert brought(converted({}, file)) == rules


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("examples/data_preprocess/sums.py", '"train.parquet"'),
        ("prepare_sums.py", 'f"{split}.parquet"'),
        ("data/prepare_data.py", '"train.parquet"'),
    ],
)
def test_the_program_that_writes_a_file_says_its_source(path, file):
    builder = BUILDER.format(source="math_dapo", folder="sums", file=file)

    result = converted({path: builder}, "data/sums/train.parquet")

    assert brought(result) == {"math_dapo"}
    assert any(f"`{path}` writes the data source `math_dapo`" in item for item in result.notices)


def test_a_program_that_the_launcher_starts_counts_before_the_name_of_the_file():
    builder = BUILDER.format(source=GSM8K, folder="there", file='"train.parquet"')

    result = converted(
        {"tools/make.py": builder},
        "math/train.parquet",
        before="python3 $ROOT/tools/make.py --out math\n",
    )

    assert brought(result) == {"gsm8k"}


@pytest.mark.parametrize(
    "changes",
    [
        {'"train.parquet"': '"other.parquet"'},
        {"to_parquet": "show"},
        {'"math_dapo"': "name()"},
        {"~/made/sums": "~/made/words"},
        {"import os": "import os os"},
    ],
)
def test_a_program_that_does_not_show_the_source_of_the_file_says_nothing(changes):
    builder = BUILDER.format(source="math_dapo", folder="sums", file='"train.parquet"')
    for old, new in changes.items():
        assert old in builder
        builder = builder.replace(old, new)

    result = converted({"prepare_data.py": builder}, "data/sums/train.parquet")

    assert brought(result) == set()
    assert any(item.startswith("MM309: ") for item in result.notices)


def test_a_source_without_a_rule_of_the_result_is_named():
    builder = BUILDER.format(source="searchR1_nq", folder="math", file='"train.parquet"')

    result = converted({"prepare_math.py": builder}, "math/train.parquet")

    assert brought(result) == set()
    assert any("MM309" in item and "`searchR1_nq`" in item for item in result.notices)
    assert "MM309" in script_of(result)


def test_the_column_of_the_sources_is_the_one_that_is_given():
    builder = BUILDER.format(source=GSM8K, folder="sums", file='"train.parquet"')
    data = "data/sums/train.parquet' 'data.reward_fn_key=origin"

    left = converted({"sums.py": builder}, data)
    found = converted({"sums.py": builder.replace("data_source", "origin")}, data)

    assert (brought(left), brought(found)) == (set(), {"gsm8k"})
    assert by_option(found)["data.reward_fn_key"].code is None
