"""Samples from a folder of images."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from exporter.data.pixels import SUFFIXES, image_tensor
from exporter.data.preprocess import Preprocess
from exporter.data.rows import Rows
from exporter.errors import UserError
from exporter.types import TensorSpec

LABEL_FILE = "labels.csv"


def folder_rows(folder: Path, inputs: Sequence[TensorSpec], preprocess: Preprocess | None) -> Rows:
    """All images below a folder, sorted by path; hidden files are skipped.

    Labels come from `labels.csv` in the folder (file,label on each line; a first line with these
    two words is allowed), or else from subfolders whose names are class indices.

    Raises:
        UserError: no images, not one image input, no preprocessing, or labels that do not fit.
    """
    if len(inputs) != 1:
        raise UserError(
            f"{folder}: a folder of images feeds one input, the model has {len(inputs)}.",
            "Bring the data as .npz or `module:function`.",
        )
    if preprocess is None:
        raise UserError(
            f"{folder}: how images become inputs must be said, a guess would spoil calibration.",
            "Add --preprocess, such as imagenet or 127/128.",
        )
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UserError(f"{folder} cannot be read: permission denied.")
    if not files:
        raise UserError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}).")
    return Rows(
        count=len(files),
        read=lambda i: (image_tensor(files[i], preprocess, inputs[0]),),
        where=lambda i: f"{files[i]} (sample {i})",
        labels=_labels(folder, [path.relative_to(folder) for path in files]),
    )


def _labels(folder: Path, files: Sequence[Path]) -> tuple[int, ...] | None:
    table = folder / LABEL_FILE
    if table.exists():
        by_file = _read_table(table)
        if unlabelled := [file for file in files if file.as_posix() not in by_file]:
            raise UserError(
                f"{table} has no label for {unlabelled[0]} and {len(unlabelled) - 1} more."
            )
        if len(by_file) > len(files):
            missing = sorted(set(by_file) - {file.as_posix() for file in files})
            raise UserError(f"{table} names {missing[0]}, which is no image in {folder}.")
        return tuple(by_file[file.as_posix()] for file in files)
    classes = [file.parts[0] if len(file.parts) > 1 else "" for file in files]
    numbered = [name.isdecimal() for name in classes]
    if not any(numbered):
        return None
    if not all(numbered):
        odd = files[numbered.index(False)]
        raise UserError(
            f"{folder}: some subfolders are class numbers, but {odd} is in none.",
            f"Number all of them, or write {LABEL_FILE} with file,label lines.",
        )
    return tuple(int(name) for name in classes)


def _read_table(table: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        rows = list(csv.reader(table.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} is not a readable CSV file: {error}") from error
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells == ["file", "label"]):
            continue
        if len(cells) != 2 or not cells[1].isdecimal():
            raise UserError(
                f"{table}, line {number}: expected file,label with a class number, "
                f"not {','.join(row)!r}."
            )
        name = Path(cells[0]).as_posix()
        if name in found:
            raise UserError(f"{table}, line {number}: {name} is there twice.")
        found[name] = int(cells[1])
    return found
