"""Sample greedily with vLLM under a peft adapter; runs in the environment `vllm`.

    python vllm_samples.py JOB.json RESULT.json

The job holds `model` and `adapter` (folders), `rank`, `prompts` (lists of token ids) and
`num_tokens`. The result holds, for the bare model and for the adapter, the tokens of each sample
and their log-probabilities.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from vllm import LLM, SamplingParams
from vllm.inputs import TokensPrompt
from vllm.lora.request import LoRARequest


def samples(llm: LLM, job: dict[str, Any], adapter: LoRARequest | None) -> dict[str, Any]:
    """Return what vLLM draws for each prompt."""
    parameters = SamplingParams(
        temperature=0.0, max_tokens=job["num_tokens"], ignore_eos=True, logprobs=0, detokenize=False
    )
    prompts = [TokensPrompt(prompt_token_ids=tokens) for tokens in job["prompts"]]
    drawn = [
        output.outputs[0]
        for output in llm.generate(prompts, parameters, lora_request=adapter, use_tqdm=False)
    ]
    return {
        "tokens": [list(each.token_ids) for each in drawn],
        "logprobs": [
            [step[token].logprob for step, token in zip(each.logprobs, each.token_ids, strict=True)]
            for each in drawn
        ],
    }


def main(job_path: Path, result_path: Path) -> None:
    """Do the job."""
    job = json.loads(job_path.read_text(encoding="utf-8"))
    llm = LLM(
        job["model"],
        dtype="float32",
        enforce_eager=True,
        max_model_len=256,
        max_num_seqs=8,
        enable_lora=True,
        max_lora_rank=job["rank"],
        skip_tokenizer_init=True,
    )
    adapter = LoRARequest("adapter", 1, job["adapter"])
    result = {"bare": samples(llm, job, None), "adapted": samples(llm, job, adapter)}
    result_path.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
