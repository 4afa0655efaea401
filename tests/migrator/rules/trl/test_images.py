"""Rows with images are refused: the result would train on their text alone."""

from __future__ import annotations

import pytest
from support.scripts import GRPO, LORA, SFT, converted, migrated

GROUPS = "num_generations=4, per_device_train_batch_size=8"
SCRIPTS = {
    "sft": SFT.format(config="", lora=LORA, trainer="", after=""),
    "grpo": GRPO.format(config=GROUPS, rewards="brevity", lora=LORA, trainer="", after=""),
}
ROWS = {
    "read": "def small(row):\n    return row['image'].size[0] < 512\n"
    "dataset = dataset.filter(small)\n",
    "made": "dataset = dataset.map(lambda row: {'images': [row['picture']]})\n",
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("rows", ROWS)
def test_images_that_the_script_shows_stop_the_conversion(script, rows):
    text = SCRIPTS[script].replace("config = ", f"{ROWS[rows]}config = ", 1)
    result = migrated(text)
    assert result.text is None
    assert any(notice.startswith("MM252: the rows hold images") for notice in result.notices)


@pytest.mark.parametrize("script", SCRIPTS)
def test_other_columns_do_not(script):
    rows = ROWS["made"].replace("images", "words")
    assert converted(migrated(SCRIPTS[script].replace("config = ", f"{rows}config = ", 1)))
