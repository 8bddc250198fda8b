"""Lambda layers: medium at least, unless their code is read to its end and only computes with tensors."""

from __future__ import annotations

import pytest

from stannary.checks.static.ruleset import load
from stannary.checks.static.verdict import findings_of
from stannary.checks.static.walk import read_view
from stannary.core.model import severity_rank
from stannary.formats.interface import View
from stannary.testing.forges.keras import archive, lambda3, sequential


def severities(source: str) -> set[str]:
    report = read_view(View(archive(sequential(lambda3(source))), "model.keras"), strict=True)
    assert not report.missed
    return {f.severity for f in findings_of(report, load(), "model.keras") if f.rule in {"KER005", "PKL035"}}


@pytest.mark.parametrize(
    "source",
    [
        "lambda x: x * 2 + 1",
        "lambda x: tf.reduce_sum(x, axis=1)",
        "lambda x: tf.math.l2_normalize(x, axis=1)",
        "lambda x: tf.cast(x, tf.float32) / 255.0",
        "lambda x: x[:, : tf.shape(x)[1] // 2]",
        "lambda x: K.sqrt(K.sum(K.square(x), axis=1, keepdims=True))",
        "lambda t: K.abs(t[0] - t[1])",
        "lambda x: keras.ops.mean(x, axis=-1)",
        "lambda x: np.sqrt(x.sum(axis=1))",
        "lambda x: layers.Flatten()(x)",
        "lambda x: [max(len(y.shape), 2) for y in x]",
    ],
)
def test_arithmetic_of_tensors_is_low(source: str) -> None:
    assert severities(source) == {"low"}


@pytest.mark.parametrize(
    "source",
    [
        "lambda x: helper(x)",
        "lambda x: x.tofile('weights')",
        "lambda x: np.save('/tmp/x', x)",
        "lambda x: np.load('x.npy', allow_pickle=True)",
        "lambda x: tf.print(x, output_stream='file:///tmp/x')",
        "lambda x: print(x) or x",
        "lambda x: x.__class__",
        "lambda x: getattr(x, 'a' + str(x))",
        "lambda x: tf.io.read_file('/etc/hostname')",
        "lambda x: tf.py_function(print, [x], tf.float32)",
        "lambda x: K.sys.modules",
        "lambda x: (lambda y: tf.raw_ops)(x)",
        "lambda x: tf.reduce_sum(x).graph.as_graph_def().dump('x')",
        "lambda x: map(x, x)",
    ],
)
def test_anything_else_is_medium_or_worse(source: str) -> None:
    assert min(map(severity_rank, severities(source))) <= severity_rank("medium")
