"""Products of groups of rows: the loop and the kernel against one product at a time."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.model import grouped
from mint_runtime.model.grouped import Groups, add_grouped_outer, grouped_matmul

I, O = 8, 16  # noqa: E741  # widths, named as in the module
ENDS = {
    "uneven": [3, 4, 9, 12],
    "empty first": [0, 4, 9, 12],
    "empty within": [3, 3, 3, 12],
    "empty last": [5, 12, 12, 12],
}
# One float32 product computed by two kernels.
TOLERANCE = 1e-6


@pytest.fixture(params=["loop", "kernel"])
def _path(request, monkeypatch):
    """Take either path on the CPU, where the kernel exists for float32 too."""
    if request.param == "kernel":
        monkeypatch.setattr(
            grouped, "_fits_kernel", lambda *matrices: all(map(grouped._is_aligned, matrices))
        )


def numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def ranges(ends):
    return zip([0, *ends], ends, strict=False)


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("is_transposed", [False, True], ids=["as stored", "transposed"])
def test_each_row_meets_the_matrix_of_its_group(ends, is_transposed):
    x_SI = numbers(ends[-1], I)
    weight_EIO = numbers(len(ends), O, I).mT if is_transposed else numbers(len(ends), I, O)

    found = grouped_matmul(x_SI, weight_EIO, Groups(torch.tensor(ends, dtype=torch.int32)))

    expected = torch.cat(
        [x_SI[start:end] @ weight_EIO[group] for group, (start, end) in enumerate(ranges(ends))]
    )
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_outer_products_are_added_to_the_total(ends, dtype):
    left_SO, right_SI = numbers(ends[-1], O), numbers(ends[-1], I)
    total_EOI = torch.ones(len(ends), O, I, dtype=dtype)

    add_grouped_outer(
        total_EOI, left_SO, right_SI, Groups(torch.tensor(ends, dtype=torch.int32)), 2.0
    )

    expected = torch.stack(
        [1 + 2 * left_SO[start:end].T @ right_SI[start:end] for start, end in ranges(ends)]
    )
    torch.testing.assert_close(total_EOI, expected.to(dtype), atol=1e-5, rtol=TOLERANCE)


def test_what_the_kernel_leaves_for_an_empty_group_is_not_added(monkeypatch):
    kernel, ends = grouped.functional.grouped_mm, [0, 4, 4, 12]

    def leave_garbage(*arguments, **options):
        product = kernel(*arguments, **options)
        product[0], product[2] = float("nan"), float("inf")
        return product

    monkeypatch.setattr(grouped, "_fits_kernel", lambda *_: True)
    monkeypatch.setattr(grouped.functional, "grouped_mm", leave_garbage)
    total_EOI = torch.ones(4, O, I)

    add_grouped_outer(
        total_EOI,
        numbers(12, O),
        numbers(12, I),
        Groups(torch.tensor(ends, dtype=torch.int32)),
        1.0,
    )

    assert torch.equal(total_EOI[[0, 2]], torch.ones(2, O, I))
    assert total_EOI.isfinite().all()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (torch.zeros(4, 8), True),
        (torch.zeros(8, 4).T, True),
        (torch.zeros(4, 6), False),
        (torch.zeros(4, 8)[:, 1:5], False),
        (torch.zeros(4, 8)[:, ::2], False),
    ],
    ids=["rows", "columns", "odd step", "odd start", "gaps"],
)
def test_alignment_is_told_from_start_and_steps(matrix, expected):
    assert grouped._is_aligned(matrix) is expected


def test_kernel_is_left_to_bfloat16_on_a_gpu():
    assert not grouped._fits_kernel(torch.zeros(4, 8))


@pytest.mark.gpu
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
def test_kernel_on_a_gpu_agrees_with_the_loop(ends):
    groups = Groups(torch.tensor(ends, dtype=torch.int32, device="cuda"))
    x_SI = numbers(ends[-1], I).to("cuda", torch.bfloat16)
    left_SO = numbers(ends[-1], O).to("cuda", torch.bfloat16)
    weight_EIO = numbers(len(ends), I, O).to("cuda", torch.bfloat16)
    total_EOI = torch.zeros(len(ends), O, I, device="cuda")

    found = grouped_matmul(x_SI, weight_EIO, groups)
    add_grouped_outer(total_EOI, left_SO, x_SI, groups, 1.0)

    # bfloat16 keeps 8 bits.
    for group, (start, end) in enumerate(ranges(ends)):
        rows = slice(start, end)
        torch.testing.assert_close(found[rows], x_SI[rows] @ weight_EIO[group], atol=0.1, rtol=0.01)
        outer = left_SO[rows].float().T @ x_SI[rows].float()
        torch.testing.assert_close(total_EOI[group], outer, atol=0.1, rtol=0.01)
