"""The engine inspector's JSON -> layers by type; its form is that of NVIDIA's documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ichexport.audit import layers_from_inspector


def convolution(words: str, weights: str | None) -> dict[str, Any]:
    layer: dict[str, Any] = {
        "Name": "conv1 + relu1",
        "LayerType": "CaskConvolution",
        "Inputs": [{"Name": "x", "Dimensions": [8, 3, 64, 64], "Format/Datatype": words}],
        "Outputs": [{"Name": "y", "Dimensions": [8, 16, 64, 64], "Format/Datatype": words}],
    }
    return layer if weights is None else {**layer, "Weights": {"Type": weights, "Count": 432}}


@pytest.mark.parametrize(
    ("words", "weights", "counted"),
    [
        ("Thirty-two wide channel vectorized row major Int8 format.", "Int8", "int8"),
        ("Channel major FP16 format where channel % 8 == 0", "Half", "f16"),
        ("Row major linear FP32", "Half", "f16"),
        ("Half", None, "f16"),
        ("BFloat16", None, "bf16"),
        ("Row major linear BF16 format", None, "bf16"),
        ("FP8", None, "fp8"),
        ("Row major linear FP32", None, "f32"),
        ("Float", "Float", "f32"),
    ],
)
def test_a_layer_counts_by_its_weights_or_by_what_enters_it(
    words: str, weights: str | None, counted: str
) -> None:
    information = {"Layers": [convolution(words, weights)], "I/O Tensors": ["HU", "LOGIT"]}
    assert layers_from_inspector(json.dumps(information)) == {counted: 1}


def test_layers_without_weights_and_names_alone_count_for_nothing() -> None:
    layers = ["conv1 + relu1", {"Name": "r", "LayerType": "Reformat", "Inputs": []}]
    assert layers_from_inspector(json.dumps({"Layers": layers, "Bindings": []})) == {}
