"""Shared `Annotated` aliases of the command-line options."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from exporter.types import Format, Scheme

MODEL, DATA, MAKE, PROVE, DEVICE, SHOW = (
    "Model",
    "Inputs and data",
    "What to make",
    "How it is proven",
    "ARM devices",
    "Output",
)

MOST_THREADS = 64


class Int8Scheme(StrEnum):
    """The schemes that int8 may have; typer takes no list of literals."""

    STATIC = Scheme.STATIC.value
    DYNAMIC = Scheme.DYNAMIC.value


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .pt/.pth/.pt2/.safetensors file, or a factory such as `timm:create_model`. "
        "What a file is is read from its content, not its name.",
    ),
]
FactoryOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="PKG.MODULE:FACTORY",
        help="Builds the module for a state_dict.",
        rich_help_panel=MODEL,
    ),
]
FactoryArgOption = Annotated[
    list[str] | None,
    typer.Option(
        "--arg",
        metavar="KEY=VALUE",
        help="Keyword argument of the factory; repeat.",
        rich_help_panel=MODEL,
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Unpickle a whole-module file: this runs code that the file names.",
        rich_help_panel=MODEL,
    ),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="[NAME=]SHAPE[:DTYPE[:LOW..HIGH]]",
        help="An input, such as `1x3x224x224` or `ids=1x128:int64:0..30522`; repeat for several.",
        rich_help_panel=DATA,
    ),
]
ExampleOption = Annotated[
    Path | None,
    typer.Option(
        "--example", help="Example inputs: .npy, .npz, .pt or an image.", rich_help_panel=DATA
    ),
]
CalibrationOption = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="DATA",
        help="Real inputs for static int8 ranges: a folder of images, .npz, .npy or "
        "`module:function`.",
        rich_help_panel=DATA,
    ),
]
EvaluationOption = Annotated[
    str | None,
    typer.Option(
        "--evaluation",
        metavar="DATA",
        help="Real inputs, best with labels, to compare on. Default: one in four calibration "
        "samples, held out; without any data, random inputs (weak evidence).",
        rich_help_panel=DATA,
    ),
]
PreprocessOption = Annotated[
    str | None,
    typer.Option(
        "--preprocess",
        help="`imagenet`, `127/128`, or such as "
        "`resize=256,size=224,mean=.5;.5;.5,std=.5;.5;.5,order=bgr`.",
        rich_help_panel=DATA,
    ),
]
LimitOption = Annotated[
    int,
    typer.Option(
        "--limit",
        min=1,
        help="At most so many samples of each data set, evenly spaced.",
        rich_help_panel=DATA,
    ),
]
Fp32Option = Annotated[
    bool, typer.Option("--fp32", help="Make float32 artifacts (the default).", rich_help_panel=MAKE)
]
Fp16Option = Annotated[
    bool, typer.Option("--fp16", help="Make float16 artifacts.", rich_help_panel=MAKE)
]
Int8Option = Annotated[
    bool, typer.Option("--int8", help="Make int8 artifacts.", rich_help_panel=MAKE)
]
FormatOption = Annotated[
    list[Format] | None,
    typer.Option(
        "--format",
        help="Only this format; repeat for several. Default: all.",
        rich_help_panel=MAKE,
    ),
]
SchemeOption = Annotated[
    list[Int8Scheme] | None,
    typer.Option(
        "--scheme",
        help="int8 activations; repeat for both. Default: static with calibration data, else "
        "dynamic.",
        rich_help_panel=MAKE,
    ),
]
RecipeOption = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        metavar="FILE",
        help="An edited copy of an earlier export's .recipe.json: how each operator computes in "
        "int8.",
        rich_help_panel=MAKE,
    ),
]
DynamicBatchOption = Annotated[
    bool,
    typer.Option(
        "--dynamic-batch", help="Let the first dimension of every input vary.", rich_help_panel=MAKE
    ),
]
AtolOption = Annotated[
    float | None,
    typer.Option(
        "--atol", min=0.0, help="Largest absolute difference allowed.", rich_help_panel=PROVE
    ),
]
MinSqnrOption = Annotated[
    float | None,
    typer.Option("--min-sqnr", help="Smallest SQNR allowed, in dB.", rich_help_panel=PROVE),
]
MinAgreementOption = Annotated[
    float | None,
    typer.Option(
        "--min-agreement",
        min=0.0,
        max=1.0,
        help="Smallest top-1 agreement allowed.",
        rich_help_panel=PROVE,
    ),
]
MaxDropOption = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        min=0.0,
        max=1.0,
        help="Largest accuracy drop allowed, 0.02 is 2 points.",
        rich_help_panel=PROVE,
    ),
]
RunsOption = Annotated[
    int, typer.Option("--runs", min=5, help="Timed runs of each artifact.", rich_help_panel=PROVE)
]
ThreadsOption = Annotated[
    int,
    typer.Option(
        "--threads", min=1, max=MOST_THREADS, help="Threads when timing.", rich_help_panel=PROVE
    ),
]
DeviceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="SERIAL",
        help="A device by its serial (see `export-mobile devices`), `auto` for the only one, or "
        "`emulator[:CPU]` for one that is started for this run; repeat for several.",
        rich_help_panel=DEVICE,
    ),
]
ThreadListOption = Annotated[
    str,
    typer.Option(
        "--threads",
        metavar="N[,N]",
        help="Threads of the runtime; several numbers are run one after another.",
        rich_help_panel=DEVICE,
    ),
]
WarmupOption = Annotated[
    int,
    typer.Option(
        "--warmup",
        min=0,
        help="Runs after the cold one, before those timed.",
        rich_help_panel=DEVICE,
    ),
]
CooldownOption = Annotated[
    float,
    typer.Option(
        "--cooldown", min=0.0, help="Seconds to wait before each artifact.", rich_help_panel=DEVICE
    ),
]
AffinityOption = Annotated[
    str | None,
    typer.Option(
        "--affinity",
        metavar="big|little|CORES",
        help="Cores to run on: the fastest or slowest kind, a mask such as 0xf0, or 4-7.",
        rich_help_panel=DEVICE,
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout", min=1.0, help="Seconds that one artifact may take.", rich_help_panel=DEVICE
    ),
]
SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples",
        min=1,
        help="Compare on at most so many of the golden samples: emulation is slow. Default: all.",
        rich_help_panel=DEVICE,
    ),
]
StorageOption = Annotated[
    str,
    typer.Option(
        "--storage",
        metavar="SIZE",
        help="Of an emulator started for this run, such as 800m; in memory.",
        rich_help_panel=DEVICE,
    ),
]
KeepRuntimeOption = Annotated[
    bool,
    typer.Option(
        "--keep-runtime/--no-keep-runtime",
        help="Leave the runtimes on the device for the next run.",
        rich_help_panel=DEVICE,
    ),
]
SweepOption = Annotated[
    bool,
    typer.Option(
        "--sweep-cpus",
        help="Count instructions per inference on several generations of emulated CPUs, and "
        "compare their outputs. Needs no device.",
        rich_help_panel=DEVICE,
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs", min=1, help="Artifacts built at once. Default: one a core.", rich_help_panel=SHOW
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Folder to write. Default: `<model>-mobile`.", rich_help_panel=SHOW
    ),
]
NameOption = Annotated[
    str | None, typer.Option("--name", help="Base name of the artifacts.", rich_help_panel=SHOW)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print only JSON on stdout.", rich_help_panel=SHOW)
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress.", rich_help_panel=SHOW)
]
