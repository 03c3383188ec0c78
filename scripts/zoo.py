"""Exports architectures that nobody tuned for, and prints what came of each.

    python scripts/zoo.py                   # all of them, int8 and fp32
    python scripts/zoo.py lstm unet --int8  # some, with options of export-mobile

Weights are random unless a package ships them, so what is shown is what converts and how near it
is, not what it recognises. Models of timm are left out where timm is not installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from exporter.manifest import Manifest

ROOT = Path(__file__).parent.parent
PHOTO = ("--input", "1x3x224x224")

MODELS: dict[str, tuple[str, ...]] = {
    "resnet": (
        *("transformers:ResNetForImageClassification", *PHOTO),
        *("--arg", "depths=[2,2,2,2]", "--arg", "hidden_sizes=[64,128,256,512]"),
        *("--arg", "layer_type=basic"),
    ),
    "mobilenet-v2": ("transformers:MobileNetV2ForImageClassification", *PHOTO),
    "efficientnet": ("tests.efficientnet:model", *PHOTO),
    "mobilenet-v3": ("timm:create_model", "--arg", "model_name=mobilenetv3_small_100"),
    "convnext": ("timm:create_model", "--arg", "model_name=convnext_atto"),
    "vit": ("timm:create_model", "--arg", "model_name=vit_tiny_patch16_224"),
    "deit": ("timm:create_model", "--arg", "model_name=deit_tiny_distilled_patch16_224"),
    "hybrid": ("timm:create_model", "--arg", "model_name=mobilevit_xxs"),
    "bert": (
        "transformers:BertForSequenceClassification",
        *("--arg", "hidden_size=128", "--arg", "num_hidden_layers=2"),
        *("--arg", "num_attention_heads=2", "--arg", "intermediate_size=512"),
        *("--arg", "vocab_size=4000", "--input", "input_ids=1x64:int64:0..4000"),
        *("--input", "attention_mask=1x64:int64:1..2"),
    ),
    "multi-output": (
        "transformers:SegformerForSemanticSegmentation",
        *("--arg", "output_hidden_states=true", "--input", "1x3x128x128"),
    ),
    "cnn": ("scripts.zoo:Cnn", "--input", "1x1x28x28"),
    "audio": ("scripts.zoo:Audio", "--input", "1x1x4000"),
    "lstm": ("scripts.zoo:Lstm", "--input", "1x20:int64:0..500"),
    "gru": ("scripts.zoo:Gru", "--input", "1x20x16"),
    "in-place": ("scripts.zoo:InPlace", "--input", "2x8x12x12"),
    "unet": ("scripts.zoo:UNet", "--input", "1x3x64x64"),
    "two-towers": (
        "scripts.zoo:TwoTowers",
        *("--input", "image=1x3x32x32", "--input", "words=1x12:int64:0..100"),
    ),
}
"""Name -> arguments of export-mobile."""


class Lstm(nn.Module):
    """Sentiment of a sentence: embedding, bidirectional LSTM, last state."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(500, 64)
        self.lstm = nn.LSTM(64, 64, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(128, 2)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(self.embedding(words))
        return self.head(states[:, -1])


class Gru(nn.Module):
    """A sensor sequence to class scores and the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(16, 64, batch_first=True)
        self.head = nn.Linear(64, 5)

    def forward(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        states, last = self.gru(signal)
        return self.head(states.mean(1)), last


class InPlace(nn.Module):
    """In-place operators, a buffer that changes, a slice that is written to."""

    count: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        y = nn.functional.relu_(self.norm(self.conv(x)))
        y[:, :4].mul_(0.5)
        y += y.mean(dim=(2, 3), keepdim=True)
        return y.clamp_(max=3.0)


class UNet(nn.Module):
    """Two levels with a skip connection: strided, transposed convolution, interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.SiLU())
        self.deep = nn.Conv2d(32, 32, 3, padding="same", dilation=2)
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.last = nn.Conv2d(32, 4, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        skip = self.first(x)
        mask = self.last(torch.cat([skip, self.up(self.deep(self.down(skip)))], 1))
        small = nn.functional.interpolate(mask, scale_factor=0.5, mode="bilinear")
        return {"mask": mask, "preview": small}


class Cnn(nn.Module):
    """Separable convolutions with a residual, on the digits' 28x28 pixels of 0 to 255."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU6())
        self.block = nn.Sequential(
            nn.Conv2d(24, 24, 3, padding=1, groups=24), nn.ReLU6(), nn.Conv2d(24, 24, 1)
        )
        self.head = nn.Sequential(
            nn.Conv2d(24, 48, 3, 2, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.classes = nn.Linear(48, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.stem((pixels - 33.0) / 79.0)
        return self.classes(self.head(x + self.block(x)))


class Audio(nn.Module):
    """One-dimensional convolutions over a waveform, group norm, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 32, 10, stride=5),
            nn.GroupNorm(4, 32),
            nn.GELU(),
            nn.Conv1d(32, 64, 3, stride=2, groups=4),
            nn.LeakyReLU(0.1),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(64, 12),
        )

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return self.body(wave)


class TwoTowers(nn.Module):
    """Image and text towers with keyword inputs and a nested output."""

    def __init__(self) -> None:
        super().__init__()
        self.vision = nn.Sequential(nn.Conv2d(3, 32, 4, stride=4), nn.Hardswish(), nn.Flatten())
        self.project = nn.Linear(32 * 64, 64)
        self.embedding = nn.EmbeddingBag(100, 64, mode="mean")

    def forward(self, *, image: torch.Tensor, words: torch.Tensor) -> dict[str, object]:
        seen = nn.functional.normalize(self.project(self.vision(image)), dim=-1)
        read = nn.functional.normalize(self.embedding(words), dim=-1)
        return {"similarity": seen @ read.T, "towers": (seen, read)}


def main(names: list[str], options: list[str]) -> None:
    """Exports each model into a scratch folder and prints one row for each artifact."""
    table = Table(title="weights random unless shipped; inputs random: weak evidence")
    for heading in ("model", "artifact", "ratio", "SQNR dB", "seconds", "verdict"):
        table.add_column(heading)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for row in _export(name, options, Path(folder) / name):
                table.add_row(*row)
    Console(width=160).print(table)


def _export(name: str, options: list[str], output: Path) -> list[tuple[str, ...]]:
    command = [
        sys.executable,
        "-m",
        "exporter.cli",
        *MODELS[name],
        *options,
        "--output",
        str(output),
    ]
    done = subprocess.run(
        [*command, "--json", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        return [(name, "-", "-", "-", "-", done.stderr.strip())]
    manifest = Manifest.model_validate_json(done.stdout)
    print(f"{name}: {manifest.seconds:.0f} s", file=sys.stderr)
    return [
        (
            name,
            f"{a.format} {a.precision}",
            f"{manifest.ratio(a) or 0:.2f}",
            f"{a.parity.sqnr_db:.1f}" if a.parity else "-",
            f"{a.seconds:.0f}",
            a.reason or "pass",
        )
        for a in manifest.artifacts
    ]


if __name__ == "__main__":
    chosen = [a for a in sys.argv[1:] if a in MODELS]
    available = [n for n, (target, *_) in MODELS.items() if find_spec(target.split(":")[0])]
    main(chosen or available, [a for a in sys.argv[1:] if a not in MODELS] or ["--fp32", "--int8"])
