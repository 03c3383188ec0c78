"""A small DeiT for 28x28 digits, in plain PyTorch.

DeiT: Touvron et al., "Training data-efficient image transformers & distillation through
attention" (2021). A vision transformer with a second learned token that was taught by a CNN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Mean and standard deviation of MNIST's training pixels, on a scale of 0 to 1.
PIXEL_MEAN = 0.1307
PIXEL_STD = 0.3081


class Attention(nn.Module):
    """Multi-head self-attention over tokens, (batch, tokens, dim) -> the same shape."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.project(mixed.transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    """Pre-norm transformer block, (batch, tokens, dim) -> the same shape."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_ratio * dim), nn.GELU(), nn.Linear(mlp_ratio * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class DigitsDeiT(nn.Module):
    """Distilled vision transformer: 28x28 grey images -> scores of ten digits.

    Input: float32 (batch, 1, 28, 28), pixels from 0 (paper) to 255 (ink); the model normalises.
    Output: float32 (batch, 10), the mean of the class head's and the distillation head's logits.

    Args:
        dim: width of a token; a multiple of `heads`.
        depth: number of transformer blocks.
        heads: attention heads of each block.
        patch: side of a square patch in pixels; divides 28.
        mlp_ratio: hidden width of a block's MLP, in multiples of `dim`.
    """

    def __init__(
        self, dim: int = 112, depth: int = 4, heads: int = 4, patch: int = 7, mlp_ratio: int = 4
    ) -> None:
        super().__init__()
        # As attributes: TorchScript sees no module-level constants.
        self.mean, self.std = PIXEL_MEAN, PIXEL_STD
        tokens = (28 // patch) ** 2 + 2
        self.patch_embed = nn.Conv2d(1, dim, kernel_size=patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.distill_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position = nn.Parameter(torch.zeros(1, tokens, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp_ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.class_head = nn.Linear(dim, 10)
        self.distill_head = nn.Linear(dim, 10)
        for token in (self.class_token, self.distill_token, self.position):
            nn.init.trunc_normal_(token, std=0.02)

    def both_heads(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The class head's and the distillation head's logits, each (batch, 10)."""
        x = (pixels / 255.0 - self.mean) / self.std
        patches = self.patch_embed(x).flatten(2).transpose(1, 2)
        batch = patches.shape[0]
        x = torch.cat(
            (
                self.class_token.expand(batch, -1, -1),
                self.distill_token.expand(batch, -1, -1),
                patches,
            ),
            dim=1,
        )
        x = self.norm(self.blocks(x + self.position))
        return self.class_head(x[:, 0]), self.distill_head(x[:, 1])

    def forward(self, pixels: Tensor) -> Tensor:
        by_class, by_distillation = self.both_heads(pixels)
        return (by_class + by_distillation) / 2


def digits_deit(
    dim: int = 112, depth: int = 4, heads: int = 4, patch: int = 7, mlp_ratio: int = 4
) -> DigitsDeiT:
    """An untrained digits DeiT, to be filled with `digits_deit_state.pt`."""
    return DigitsDeiT(dim, depth, heads, patch, mlp_ratio)
