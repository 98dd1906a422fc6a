"""What Kang et al. report, as far as its abstract can be read.

Source: Kang et al., Frontiers in Neurology 2023, doi 10.3389/fneur.2023.1321964, abstract.
"""

from __future__ import annotations

from typing import Any

PAPER: dict[str, Any] = {
    "citation": "Kang et al., Frontiers in Neurology 2023 (doi 10.3389/fneur.2023.1321964)",
    "cases": 986,
    "positives": 487,
    "data": "two external test sets of patients, pooled",
    "ensemble_p_below": 0.0001,
    "areas": {
        "ensemble": {"area": 0.953, "low": 0.938, "high": 0.965},
        "densenet121": {"area": 0.875, "low": 0.852, "high": 0.895},
        "inceptionresnetv2": {"area": 0.852, "low": 0.828, "high": 0.873},
        "vgg19": {"area": 0.796, "low": 0.770, "high": 0.821},
        "mobilenet_v2": {"area": 0.650, "low": 0.620, "high": 0.680},
    },
    "strong_better": ["inceptionresnetv2", "mobilenet_v2", "vgg19"],
    "limits": "Only the abstract could be read. It gives one area an architecture and does not say "
    "there which annotation that belongs to; areas of strong and weak training in pairs are not in "
    "it. DenseNet121 is not among those it names as better with strong annotation.",
}
"""Areas under the ROC curve of the abstract with their 95 % intervals, and what it claims."""

TITLES = {
    "ensemble": "Weighted ensemble",
    "densenet121": "DenseNet121",
    "inceptionresnetv2": "InceptionResNetV2",
    "mobilenet_v2": "MobileNetV2",
    "vgg19": "VGG19",
}
"""Names as the paper writes them."""
