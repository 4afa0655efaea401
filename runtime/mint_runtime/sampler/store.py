"""The memory behind the pages: keys and values of every layer.

Legend: P pages, p tokens per page, G key and value heads, d head width, N rows of a pass.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from mint_runtime.sampler.limits import Sizes

_FIRST_PAGES = 64


class PageStore:
    """Keys and values by page, `[P, p * G * d]` for each layer. Grows to what is used."""

    def __init__(self, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> None:
        """Hold nothing yet."""
        self.sizes = sizes
        self.device, self.dtype = device, dtype
        self._num_pages = 0
        width = sizes.page_size * sizes.num_heads * sizes.head_width
        self._keys = [self._empty(0, width) for _ in range(sizes.num_layers)]
        self._values = [self._empty(0, width) for _ in range(sizes.num_layers)]
        self._scratch: tuple[Tensor, Tensor] = (self._empty(0, width), self._empty(0, width))

    def require(self, num_pages: int) -> None:
        """Make sure that pages 0 to `num_pages` exist. What they hold is kept."""
        if num_pages <= self._num_pages:
            return
        wanted = max(num_pages, 2 * self._num_pages, _FIRST_PAGES)
        wanted = max(num_pages, min(wanted, self.sizes.max_pages))
        # One layer after the other, so that the copy takes the space of one.
        for side in (self._keys, self._values):
            for layer, old in enumerate(side):
                side[layer] = self._empty(wanted, old.shape[1])
                side[layer][: self._num_pages] = old[: self._num_pages]
        self._num_pages = wanted

    def clear(self, pages: Collection[int]) -> None:
        """Make whatever the pages held harmless: a weight of 0 does not hide what is no number."""
        if not pages:
            return
        page_P = torch.tensor(list(pages), device=self.device)
        for side in (self._keys, self._values):
            for tensor in side:
                tensor.index_fill_(0, page_P, 0)

    def copy(self, source: int, target: int) -> None:
        """Copy a page in every layer."""
        for side in (self._keys, self._values):
            for tensor in side:
                tensor[target] = tensor[source]

    def write(self, layer: int, slot_N: Tensor, k_NGd: Tensor, v_NGd: Tensor) -> None:
        """Put keys and values where `slot_N` says: page * p + place in the page."""
        width = k_NGd.shape[1] * k_NGd.shape[2]
        for tensor, rows in ((self._keys[layer], k_NGd), (self._values[layer], v_NGd)):
            tensor.view(-1, width).index_copy_(0, slot_N, rows.reshape(len(rows), width))

    def read(self, layer: int, page_BP: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values `[B, P * p, G, d]`, valid until the next read."""
        count = page_BP.numel()
        if count > len(self._scratch[0]):
            width = self._scratch[0].shape[1]
            self._scratch = (self._empty(count, width), self._empty(count, width))
        shape = (len(page_BP), -1, self.sizes.num_heads, self.sizes.head_width)
        k, v = (
            torch.index_select(side[layer], 0, page_BP.view(-1), out=out[:count]).view(shape)
            for side, out in zip((self._keys, self._values), self._scratch, strict=True)
        )
        return k, v

    def _empty(self, num_pages: int, width: int) -> Tensor:
        return torch.empty(num_pages, width, device=self.device, dtype=self.dtype)
