"""What the libraries of Android apps lack is named, and nothing else is."""

from __future__ import annotations

import pytest

from exporter.runtimes.libraries import LIBRARIES, lacking
from exporter.types import Format, Needs
from tests.command import ROOT


def ptl(*, bytecode: str = "8", **operators: int) -> tuple[str, ...]:
    """What is lacking for a `.ptl` that gives each operator (`name__overload`) some arguments."""
    names = {f"aten::{name.replace('__', '.')}": given for name, given in operators.items()}
    return lacking(Format.PTL, Needs({"bytecode version": bytecode}, operators=names))


def test_every_format_has_a_library() -> None:
    assert [library.format for library in LIBRARIES if not library.lacks(Needs())] == [
        Format.PTE,
        Format.ONNX,
        Format.TFLITE,
        Format.PTL,
    ]


def test_the_versions_are_those_of_the_demo_app() -> None:
    pom = (ROOT / "android_demo/pom.xml").read_text()
    for library, name in zip(
        LIBRARIES, ("executorch.npm", "onnxruntime", "tflite", "pytorch"), strict=True
    ):
        assert f"<{name}.version>{library.name.split()[-1]}</" in pom


def test_an_operator_that_pytorch_lite_lacks_is_named() -> None:
    assert ptl(scaled_dot_product_attention=3, add__Tensor=2) == (
        "PyTorch Lite 1.12.2 lacks aten::scaled_dot_product_attention",
    )


def test_an_overload_is_an_operator_of_its_own() -> None:
    assert ptl(add__Tensor=2, matmul=2, len__t=1, softmax__int=2) == ()
    assert ptl(add__Complicated=2) == ("PyTorch Lite 1.12.2 lacks aten::add.Complicated",)


def test_what_only_cuda_computes_is_lacking() -> None:
    assert ptl(cudnn_batch_norm=8) == ("PyTorch Lite 1.12.2 lacks aten::cudnn_batch_norm",)


def test_more_arguments_than_the_library_takes_are_named() -> None:
    assert ptl(softmax__int=3) == ()
    assert ptl(softmax__int=4) == (
        "PyTorch Lite 1.12.2 takes 3 arguments of aten::softmax.int, and the file gives 4",
    )


@pytest.mark.parametrize(
    ("bytecode", "said"),
    [("3", "is too new for bytecode version 3: it takes 4 and later"), ("4", ""), ("9", ""),
     ("10", "is too old for bytecode version 10: it takes up to 9")],
)  # fmt: skip
def test_bytecode_has_a_range(bytecode: str, said: str) -> None:
    assert ptl(bytecode=bytecode) == ((f"PyTorch Lite 1.12.2 {said}",) if said else ())


@pytest.mark.parametrize(
    ("version", "runs"),
    [("2.9.0", True), ("2.16.1", True), ("2.16.2", False), ("2.17.0", False), (None, True)],
)
def test_releases_are_compared_as_numbers(version: str | None, runs: bool) -> None:
    found = lacking(Format.TFLITE, Needs({"minimum runtime version": version}))
    assert (not found) == runs


@pytest.mark.parametrize(
    ("label", "version", "said"),
    [
        ("opset", "27", "is too old for opset 27: it takes up to 26"),
        ("opset", "6", "is too new for opset 6: it takes 7 and later"),
        ("IR version", "14", "is too old for IR version 14: it takes up to 13"),
        ("opset my.domain", "1", "does not know opset my.domain"),
    ],
)
def test_an_onnx_version_out_of_range_is_named(label: str, version: str, said: str) -> None:
    good = {"opset": "20", "IR version": "10", "opset com.microsoft": "1"}
    assert lacking(Format.ONNX, Needs(good)) == ()
    assert lacking(Format.ONNX, Needs({**good, label: version})) == (f"ONNX Runtime 1.29.0 {said}",)


def test_kernels_and_delegates_that_executorch_lacks_are_named() -> None:
    needs = Needs(
        {"schema version": "0"},
        operators={"aten::native_layer_norm.out": 0, "mine::op.out": 0},
        delegates=("XnnpackBackend", "QnnBackend"),
    )
    name = "ExecuTorch of react-native-executorch 0.8.5"
    assert lacking(Format.PTE, needs) == (
        f"{name} lacks mine::op.out",
        f"{name} lacks the delegate QnnBackend",
    )
