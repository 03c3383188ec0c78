"""Which operators become int8, on hand-made graphs."""

from __future__ import annotations

from exporter.runtimes.tflite.flatbuffer import Graph, Operator, Tensor
from exporter.runtimes.tflite.plan import Plan, plan
from exporter.types import Scheme


def graph_of(*operators: tuple[str, str, str]) -> Graph:
    """Operators as (name, inputs, output), tensors by letter: capitals are constants."""
    letters = sorted({c for _, inputs, output in operators for c in inputs + output})
    number = {letter: i for i, letter in enumerate(letters)}
    tensors = tuple(
        Tensor(c, "float32", (4,), nbytes=16 if c.isupper() else 0, buffer=i)
        for i, c in enumerate(letters)
    )
    made = {output for _, _, output in operators}
    used = {c for _, inputs, _ in operators for c in inputs}
    return Graph(
        tensors,
        tuple(Operator(n, tuple(number[c] for c in i), (number[o],)) for n, i, o in operators),
        tuple(number[c] for c in sorted(used - made) if c.islower()),
        tuple(number[c] for c in sorted(made - used)),
    )


CNN = graph_of(
    ("TRANSPOSE", "a", "b"),
    ("CONV_2D", "bW", "c"),
    ("DEPTHWISE_CONV_2D", "cV", "d"),
    ("ADD", "cd", "e"),
    ("MEAN", "e", "f"),
    ("FULLY_CONNECTED", "fU", "g"),
)


def test_a_cnn_is_int8_throughout() -> None:
    assert plan(CNN, Scheme.STATIC) == Plan(static=frozenset(range(6)))


def test_dynamic_depthwise_weights_are_int8_and_its_compute_is_float() -> None:
    assert plan(CNN, Scheme.DYNAMIC) == Plan(dynamic=frozenset({1, 5}), weight_only=frozenset({2}))


def test_a_residual_stream_into_a_layer_norm_stays_float() -> None:
    graph = graph_of(
        ("FULLY_CONNECTED", "aW", "b"),
        ("ADD", "ab", "c"),
        ("MEAN", "c", "d"),
        ("SUB", "cd", "e"),
        ("MUL", "eG", "f"),
        ("RESHAPE", "f", "g"),
        ("FULLY_CONNECTED", "gV", "h"),
    )
    assert plan(graph, Scheme.STATIC).static == {0, 6}


def test_what_no_weighted_operator_needs_stays_float() -> None:
    graph = graph_of(("ADD", "ab", "c"), ("FULLY_CONNECTED", "dW", "e"))
    assert plan(graph, Scheme.STATIC).static == {1}


def test_a_product_of_two_activations_is_not_weighted() -> None:
    graph = graph_of(("FULLY_CONNECTED", "ab", "c"))
    assert plan(graph, Scheme.STATIC) == plan(graph, Scheme.DYNAMIC) == Plan()


def test_embedding_rows_are_int8_in_both_schemes() -> None:
    graph = graph_of(("EMBEDDING_LOOKUP", "iT", "a"), ("ADD", "aP", "b"))
    expected = Plan(dynamic=frozenset({0}))
    assert plan(graph, Scheme.STATIC) == plan(graph, Scheme.DYNAMIC) == expected
