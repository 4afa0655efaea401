"""Do the same to batches of verl and of a converted script; runs in the environment `verl`.

    python verl_batches.py LIBRARY.py

`LIBRARY.py` holds the classes that a converted script defines. Each case is done to a batch of
either kind and the results are compared: columns, their order, facts of all rows, and errors.
Prints one line for each case that differs; the exit status is their number.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
import verl.protocol as theirs
from verl.utils import torch_functional
from verl.utils.model import compute_position_id_with_mask


def sample(module: Any, size: int = 6, start: int = 0) -> Any:
    """Return a batch with two tensors, an array and two facts."""
    numbers = torch.arange(start, start + size * 4).reshape(size, 4)
    return module.DataProto.from_dict(
        tensors={"ids": numbers, "mask": (numbers % 3 > 0).long()},
        non_tensors={"text": [f"row {start + row}" for row in range(size)]},
        meta_info={"pad": 0, "metrics": {"loss": float(start)}},
    )


def listed(module: Any) -> Any:
    """Return a batch whose array holds lists of equal length."""
    lists = np.empty(2, dtype=object)
    lists[0], lists[1] = [1, 2], [3, 4]
    return module.DataProto.from_dict(
        tensors={"ids": torch.arange(2)}, non_tensors={"prompt": lists}
    )


def popped(module: Any) -> Any:
    batch = sample(module)
    taken = batch.pop(batch_keys=["ids", "mask"], non_tensor_batch_keys=["text"])
    return [taken, len(batch), len(batch.repeat(2)), batch.union(taken)]


def padded(module: Any, size: int, divisor: int) -> Any:
    whole, number = module.pad_dataproto_to_divisor(sample(module, size), divisor)
    return [whole, number, module.unpad_dataproto(whole, number)]


def changed(module: Any, change: Callable[[Any], Any]) -> Any:
    batch = sample(module)
    change(batch)
    return batch


CASES: dict[str, Callable[[Any], Any]] = {
    "from_single_dict": lambda m: m.DataProto.from_single_dict(
        {"ids": torch.arange(3), "text": np.array(["a", "b", "c"], dtype=object)}
    ),
    "from_single_dict of a list": lambda m: m.DataProto.from_single_dict({"ids": [1, 2]}),
    "different lengths": lambda m: m.DataProto.from_dict(
        tensors={"a": torch.arange(2), "b": torch.arange(3)}
    ),
    "only arrays": lambda m: len(m.DataProto.from_dict(non_tensors={"text": ["a", "b"]})),
    "nothing": lambda m: len(m.DataProto()),
    "len": lambda m: len(sample(m)),
    "batch_size": lambda m: list(sample(m).batch.batch_size),
    "row": lambda m: sample(m)[2].batch["ids"],
    "row of numbers": lambda m: listed(m)[1].batch["ids"],
    "row text": lambda m: sample(m)[2].non_tensor_batch["text"],
    "rows": lambda m: sample(m)[1:4],
    "last rows": lambda m: sample(m)[-2:],
    "rows by list": lambda m: sample(m)[[3, 1, 1]],
    "rows by array": lambda m: sample(m)[np.array([0, 5])],
    "rows by mask": lambda m: sample(m)[torch.tensor([True, False, True, True, False, False])],
    "select": lambda m: sample(m).select(batch_keys=["ids"], non_tensor_batch_keys=[]),
    "select facts": lambda m: sample(m).select(meta_info_keys=["pad"]).meta_info,
    "select copies": lambda m: sample(m).select(batch_keys=["mask"], deepcopy=True),
    "select nothing": lambda m: len(sample(m).select(batch_keys=[], non_tensor_batch_keys=[])),
    "select_idxs": lambda m: sample(m).select_idxs([4, 0]),
    "select_idxs by booleans": lambda m: sample(m).select_idxs([True] + [False] * 5),
    "slice": lambda m: sample(m).slice(0, 6, 2),
    "slice all": lambda m: sample(m).slice(),
    "pop": popped,
    "pop of a name that is not there": lambda m: sample(m).pop(batch_keys=["other"]),
    "rename": lambda m: sample(m).rename("ids", "input_ids"),
    "rename unequally": lambda m: sample(m).rename(["ids", "mask"], ["a"]),
    "union": lambda m: sample(m).union(
        m.DataProto.from_dict(tensors={"new": torch.arange(6)}, meta_info={"more": 1})
    ),
    "union of equals": lambda m: sample(m).union(sample(m)),
    "union of others": lambda m: sample(m).union(sample(m, start=1)),
    "union of other facts": lambda m: sample(m).union(
        m.DataProto.from_dict(tensors={"new": torch.arange(6)}, meta_info={"pad": 5})
    ),
    "repeat": lambda m: sample(m).repeat(3),
    "repeat in rounds": lambda m: sample(m).repeat(2, interleave=False),
    "repeat each": lambda m: sample(m, 3).sample_level_repeat([1, 3, 2]),
    "unfold": lambda m: sample(m).unfold_column_chunks(2, split_keys=["ids"]),
    "chunk": lambda m: sample(m).chunk(3),
    "chunk unequally": lambda m: sample(m).chunk(4),
    "split": lambda m: sample(m).split(4),
    "concat": lambda m: m.DataProto.concat([sample(m, 2), sample(m, 3, start=2)]),
    "concat of other facts": lambda m: m.DataProto.concat(
        [sample(m, 2), m.DataProto(sample(m, 2).batch, sample(m, 2).non_tensor_batch, {"pad": 1})]
    ),
    "reorder": lambda m: changed(m, lambda b: b.reorder(torch.tensor([5, 3, 1, 0, 2, 4]))),
    "padding": lambda m: changed(m, lambda b: b.padding(2, "first")),
    "padding behind": lambda m: changed(m, lambda b: b.padding(3, "last")),
    "to": lambda m: sample(m).to("cpu"),
    "is_padding_enabled": lambda m: sample(m).is_padding_enabled(),
    "auto_padding": lambda m: m.DataProto.from_dict(
        tensors={"ids": torch.arange(5)}, auto_padding=True
    ).is_padding_enabled(),
    "make_iterator": lambda m: list(sample(m).make_iterator(2, 2)),
    "make_iterator in a drawn order": lambda m: list(
        sample(m).make_iterator(3, 2, seed=7, dataloader_kwargs={"shuffle": True})
    ),
    "make_iterator unequally": lambda m: list(sample(m).make_iterator(4, 1)),
    "pad to a multiple": lambda m: padded(m, 5, 4),
    "pad a small batch": lambda m: padded(m, 2, 8),
    "pad what fits": lambda m: padded(m, 4, 4),
    "collate": lambda m: m.collate_fn([sample(m)[0], sample(m)[4]]),
    "collate lists": lambda m: m.collate_fn([listed(m)[0], listed(m)[1]]),
    "union_numpy_dict": lambda m: m.union_numpy_dict(
        {"a": np.array([1.0, np.nan])}, {"a": np.array([1.0, np.nan]), "b": np.array([2])}
    ),
    "union_numpy_dict of others": lambda m: m.union_numpy_dict(
        {"a": np.array([1])}, {"a": np.array([2])}
    ),
    "positions": lambda m: m.compute_position_id_with_mask(torch.tensor([[0, 0, 1, 1, 0]])),
    "mean": lambda m: m.masked_mean(torch.arange(6.0), torch.tensor([1, 0, 1, 1, 0, 0])),
    "mean beside nan": lambda m: m.masked_mean(
        torch.tensor([1.0, float("nan")]), torch.tensor([1, 0])
    ),
    "sum by row": lambda m: m.masked_sum(torch.ones(2, 3), torch.tensor([[1, 1, 0]] * 2), axis=-1),
    "whiten": lambda m: m.masked_whiten(torch.arange(6.0), torch.tensor([1, 0, 1, 1, 1, 0])),
    "whiten around": lambda m: m.masked_whiten(torch.arange(4.0), torch.ones(4), shift_mean=False),
    "response mask": lambda m: m.get_response_mask(torch.tensor([[7, 2, 2], [3, 4, 5]]), 2),
    "response mask of several": lambda m: m.get_response_mask(
        torch.tensor([[7, 1, 2], [2, 4, 5]]), [1, 2]
    ),
    "pad lists": lambda m: m.pad_2d_list_to_length([[1, 2], [3]], 0, max_length=4),
    "pad lists to the longest": lambda m: m.pad_2d_list_to_length([[1, 2, 3], [3]], 9, 2),
    "pad left": lambda m: m.pad_sequence_to_length(torch.ones(2, 3), 5, 0, left_pad=True),
    "pad a long one": lambda m: m.pad_sequence_to_length(torch.ones(2, 3), 2, 0),
    **{
        f"cut {side}": lambda m, side=side: m.postprocess_data(
            torch.arange(7)[None], torch.ones(1, 7), 4, 0, truncation=side
        )
        for side in ("left", "right", "middle", "error")
    },
    "fill": lambda m: m.postprocess_data(torch.arange(3)[None], torch.ones(1, 3), 5, 9),
}


def told(value: Any) -> Any:
    """Return a value in a form that compares: the same for batches of either kind."""
    if hasattr(value, "non_tensor_batch"):
        tensors = {} if value.batch is None else dict(value.batch.items())
        return {
            "tensors": {name: told(tensor) for name, tensor in sorted(tensors.items())},
            "arrays": {name: told(array) for name, array in value.non_tensor_batch.items()},
            "facts": value.meta_info,
        }
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), np.round(value.double().numpy(), 6).tolist())
    if isinstance(value, np.ndarray):
        return [value.shape, *(str(one) for one in value)]
    if isinstance(value, dict):
        return {name: told(item) for name, item in value.items()}
    return [told(item) for item in value] if isinstance(value, list | tuple) else value


def done(case: Callable[[Any], Any], module: Any) -> Any:
    """Return the result of a case, or that it raises."""
    try:
        return told(case(module))
    except Exception:
        return "an error"


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("library", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["library"] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Compare all cases; return how many differ."""
    ours = load(sys.argv[1])
    for name in dir(torch_functional):
        if hasattr(ours, name) and not hasattr(theirs, name):
            setattr(theirs, name, getattr(torch_functional, name))
    theirs.compute_position_id_with_mask = compute_position_id_with_mask
    different = 0
    for name, case in CASES.items():
        found, expected = done(case, ours), done(case, theirs)
        if found != expected:
            different += 1
            sys.stdout.write(f"{name}: {found!r} instead of {expected!r}\n")
    sys.stdout.write(f"{len(CASES)} cases, {different} differ\n")
    return different


if __name__ == "__main__":
    sys.exit(main())
