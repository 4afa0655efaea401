#!/usr/bin/env bash
# Run scripts that other people wrote for MinT and Tinker, unmodified, against this server.
#
#   tests/acceptance/run_third_party.sh [FOLDER]
#
# FOLDER (default: a new temporary one) receives the clones, a tiny model under the names the
# scripts ask for, and the output of every script. MINT_COOKBOOK and MINT_QUICKSTART name existing
# clones; without them GitHub is asked. PYTHON is the interpreter with this repository's
# requirements (default: .venv/bin/python). The environments of the clients are built on first use.
# Exit status: the number of scripts that failed.

set -uo pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
WORK=$(realpath -m "${1:-$(mktemp -d)}")
PYTHON=${PYTHON:-$ROOT/.venv/bin/python}
COOKBOOK_REVISION=d0ed7334854e6ebb003798a16d197ef875bd5686
QUICKSTART_REVISION=596fb0289c22400d60da20466daf77a2f93cd848
failed=0

mkdir -p "$WORK/output" "$WORK/bin"
unset MINT_API_KEY MINT_BASE_URL TINKER_API_KEY TINKER_BASE_URL
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME=$WORK/hub TINKER_TELEMETRY=0

ours() { PYTHONPATH=$ROOT/runtime:$ROOT/migrator:$ROOT/tests "$PYTHON" -P "$@"; }

clone() { # name revision existing
  if [ -n "$3" ]; then cp -r "$3" "$WORK/$1"; else
    git clone --quiet "https://github.com/MindLab-Research/$1" "$WORK/$1" || exit 100
    git -C "$WORK/$1" checkout --quiet "$2" || exit 100
  fi
}

environment() { ours -c "from support.environments import environment; print(environment('$1'))"; }

report() { # name folder command...
  local name=$1 folder=$2 status
  shift 2
  (cd "$folder" && timeout 900 "$@") >"$WORK/output/$name.txt" 2>&1
  status=$?
  [ $status -eq 0 ] || failed=$((failed + 1))
  printf '%-20s exit %-4s %s\n' "$name" "$status" "$(tail -n 1 "$WORK/output/$name.txt" | cut -c1-120)"
}

[ -d "$WORK/mint-cookbook" ] || clone mint-cookbook $COOKBOOK_REVISION "${MINT_COOKBOOK:-}"
[ -d "$WORK/mint-quickstart" ] || clone mint-quickstart $QUICKSTART_REVISION "${MINT_QUICKSTART:-}"
MINT=$(environment mint022) || exit 100
# One adapter predates transformers 5, whose chat templates do not give a plain list of tokens.
MINT_OLD=$(environment mint022-transformers4) || exit 100
TINKER=$(environment cookbook) || exit 100

[ -d "$WORK/model" ] || ours -m mint_runtime tiny-model "$WORK/model" || exit 100
ours - "$WORK" <<'PY' || exit 100
import json
import sys
from pathlib import Path

from mint_migrate.bridge.hub import StandInHub, add_models

work = Path(sys.argv[1])
file = work / "model" / "tokenizer_config.json"
config = json.loads(file.read_text())
# What transformers 5 writes by default, transformers 4 cannot read.
config["tokenizer_class"] = "PreTrainedTokenizerFast"
config.pop("extra_special_tokens", None)
file.write_text(json.dumps(config, indent=2))
names = ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B")
add_models(StandInHub(root=work / "hub"), {name: work / "model" for name in names})

# Recipes load these names as folders of the working directory.
chats = [
    {
        "prompt": f"What comes after {i}?",
        "prompt_id": str(i),
        "messages": [
            {"role": "user", "content": f"What comes after {i}?"},
            {"role": "assistant", "content": f"{i + 1} comes after {i}."},
        ],
        "category": "Generation",
    }
    for i in range(64)
]
sums = [
    {"question": f"What is {i} plus {i + 1}?", "answer": f"#### {2 * i + 1}"} for i in range(64)
]
for name, part, rows in (
    ("HuggingFaceH4/no_robots", "default", chats),
    ("openai/gsm8k", "main", sums),
):
    folder = work / "recipes" / name
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["---", "configs:", f"- config_name: {part}", "  data_files:"]
    for split, chosen in (("train", rows), ("test", rows[:16])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chosen))
        lines += [f"  - split: {split}", f"    path: {split}.jsonl"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
PY

rm -f "$WORK/ready.json"
ours -m mint_runtime serve --port 0 --state-dir "$WORK/state" --ready-file "$WORK/ready.json" \
  --base-model "Qwen/Qwen3-0.6B=$WORK/model" --base-model "Qwen/Qwen3-8B=$WORK/model" \
  >"$WORK/server.out" 2>"$WORK/server.log" &
server=$!
trap 'kill $server 2>/dev/null' EXIT
until [ -f "$WORK/ready.json" ]; do
  kill -0 $server 2>/dev/null || { cat "$WORK/server.log" >&2; exit 100; }
  sleep 0.2
done
URL=$("$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["url"])' "$WORK/ready.json")

# The smoke scripts are started with `uv run`, which would fetch another client.
printf '#!/bin/sh\nshift\nexec "$@"\n' >"$WORK/bin/uv"
chmod +x "$WORK/bin/uv"
export MINT_BASE_URL=$URL MINT_API_KEY=sk-third-party-0123
with_uv=$WORK/bin:$(dirname "$MINT"):$PATH
report smoke "$WORK/mint-cookbook/tests" env PATH="$with_uv" bash run_all.sh
report quickstart "$WORK/mint-quickstart" "$MINT" -u quickstart/quickstart.py
report verifiable_math "$WORK/mint-quickstart" "$MINT" -u demos/rl/adapters/verifiable_math.py
report preference_chat "$WORK/mint-quickstart" "$MINT_OLD" -u demos/rl/adapters/preference_chat.py
report environment_tooluse "$WORK/mint-quickstart" \
  "$MINT" -u demos/rl/adapters/environment_tooluse.py
report resume "$WORK/mint-quickstart" \
  env MINT_TOTAL_STEPS=6 MINT_INTERRUPT_COUNT=2 MINT_MAX_TOKENS=16 "$MINT" -u advanced/resume.py
saved=$(sed -n 's/^Saved: //p' "$WORK/output/resume.txt" | tail -n 1)
"$PYTHON" - "$saved" "$WORK/archive.tar.gz" <<'PY' || failed=$((failed + 1))
import os
import sys
import urllib.request
from pathlib import Path

run, kind, name = sys.argv[1].removeprefix("tinker://").split("/")
url = f"{os.environ['MINT_BASE_URL']}/api/v1/training_runs/{run}/checkpoints/{kind}/{name}/archive"
request = urllib.request.Request(url, headers={"X-API-Key": os.environ["MINT_API_KEY"]})
Path(sys.argv[2]).write_bytes(urllib.request.urlopen(request).read())
PY
report upload_weights "$WORK/mint-quickstart" \
  env MINT_UPLOAD_ARCHIVE="$WORK/archive.tar.gz" "$MINT" -u advanced/upload_weights.py
uploaded=$(sed -n 's/^Uploaded: //p' "$WORK/output/upload_weights.txt")
report resume_from_upload "$WORK/mint-quickstart" \
  env MINT_RESUME_PATH="$uploaded" MINT_RESUME_WITH_OPTIMIZER=1 \
  "$MINT" -u advanced/resume_from_upload.py
unset MINT_BASE_URL MINT_API_KEY

export TINKER_BASE_URL=$URL TINKER_API_KEY=tml-third-party-0123
common=(base_url="$URL" model_name=Qwen/Qwen3-8B lora_rank=8 save_every=2)
# Their default policy loss has no published definition.
policy=(loss_fn=importance_sampling group_size=4)
recipe=$WORK/recipes
report sl_loop "$recipe" "$TINKER" -m tinker_cookbook.recipes.sl_loop "${common[@]}" \
  batch_size=8 max_length=256 max_steps=3 log_path="$WORK/output/sl_loop"
report rl_loop "$recipe" "$TINKER" -m tinker_cookbook.recipes.rl_loop "${common[@]}" \
  "${policy[@]}" batch_size=8 max_tokens=16 log_path="$WORK/output/rl_loop"
report math_rl "$recipe" "$TINKER" -m tinker_cookbook.recipes.math_rl.train "${common[@]}" \
  "${policy[@]}" env=arithmetic groups_per_batch=4 max_tokens=8 max_steps=3 eval_every=0 \
  log_path="$WORK/output/math_rl"

echo "output in $WORK/output, the server's log in $WORK/server.log"
exit $failed
