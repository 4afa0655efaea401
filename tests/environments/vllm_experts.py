"""Read a peft adapter of a mixture of experts as vLLM does; runs in the environment `vllm`.

    python vllm_experts.py ADAPTER NUM_EXPERTS

Prints as JSON the shapes of A and B by the name of the layer. vLLM computes experts with adapters
on GPUs only, so what can be shown on a CPU is that it knows every name and where the matrices go.
"""

from __future__ import annotations

import json
import sys

from vllm.lora.lora_model import LoRAModel
from vllm.lora.peft_helper import PEFTHelper
from vllm.model_executor.layers.fused_moe.routed_experts import RoutedExperts


def main(folder: str, num_experts: int) -> None:
    """Load the adapter with the names vLLM expects of a Qwen3-MoE."""
    experts = RoutedExperts.build_expert_params_mapping(
        "gate_proj", "down_proj", "up_proj", num_experts
    )
    expected = {weight_name.rstrip(".") for _, weight_name, _, _ in experts}
    helper = PEFTHelper.from_local_dir(folder, max_position_embeddings=None)
    adapter = LoRAModel.from_local_checkpoint(folder, expected, helper, device="cpu")
    shapes = {
        name: [list(layer.lora_a.shape), list(layer.lora_b.shape)]
        for name, layer in adapter.loras.items()
    }
    json.dump(shapes, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
