"""A whole series in one call: how any program with a Triton client asks `ich_series`.

    ichclient serve --port 8001                      # in another terminal
    python examples/series_call.py 127.0.0.1:8001

    slices  1 to  8: highest score 0.048
    slices  9 to 16: highest score 0.999
    slices 17 to 24: highest score 0.051
    study score 0.998
    lesion volume 24.4 mL
    high_sensitivity: positive
    balanced: positive
    high_specificity: positive
    Research demonstration, not a medical device.

Nothing of this project is imported: numpy and tritonclient are all it needs, and every language
that Triton has a client for can do the same. docs/contract.md, section 4, says what is sent and
what comes back. The head is a drawing; the last digits depend on the processor.
"""

from __future__ import annotations

import queue
import sys

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

SLICES, SIDE, SLICE_SPACING_MM, PIXEL_SPACING_MM = 24, 256, 5.5, 0.9
# MASK is left out: what nobody asks for is neither made nor sent.
WANTED = ("SCORE", "SLICE_INDEX", "STUDY_SCORE", "LESION_VOLUME_ML", "OPERATING_POINT", "DECISION")


def drawn_head() -> np.ndarray:
    """HU [n, rows, columns] of an egg of bone around brain, with a bleed in its left half.

    Slices run from inferior to superior, rows from anterior to posterior, columns from the
    patient's right to left. A real caller takes its pixels times RescaleSlope plus
    RescaleIntercept, sorted by position.
    """
    z, y, x = np.mgrid[:SLICES, :SIDE, :SIDE].astype(np.float32)
    z = (z - (SLICES - 1) / 2) * SLICE_SPACING_MM
    y, x = (y - SIDE / 2) * PIXEL_SPACING_MM, (x - SIDE / 2) * PIXEL_SPACING_MM
    egg = (x / 72) ** 2 + (y / 90) ** 2 + (z / 75) ** 2
    bleed = ((x - 30) / 14) ** 2 + ((y - 10) / 20) ** 2 + (z / 18) ** 2
    hu = np.select([bleed < 1, egg < 0.84, egg < 1, egg < 1.12], [68, 32, 1000, 40], -1000)
    noise = np.random.default_rng(0).normal(0, 5, hu.shape)
    return np.rint(hu + noise).astype(np.int16)


def main(url: str) -> None:
    """Send the series on a stream, and print what comes back as it comes."""
    inputs = [InferInput("HU", [SLICES, SIDE, SIDE], "INT16")]
    inputs[0].set_data_from_numpy(drawn_head())
    inputs.append(InferInput("POSITION_MM", [SLICES], "FP32"))
    inputs[1].set_data_from_numpy(
        np.arange(SLICES, dtype=np.float32) * np.float32(SLICE_SPACING_MM)
    )
    inputs.append(InferInput("PIXEL_SPACING_MM", [2], "FP64"))
    inputs[2].set_data_from_numpy(np.array([PIXEL_SPACING_MM, PIXEL_SPACING_MM]))

    answers: queue.Queue = queue.Queue()
    with InferenceServerClient(url) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        client.async_stream_infer(
            "ich_series", inputs, outputs=[InferRequestedOutput(name) for name in WANTED]
        )
        while True:
            answer, error = answers.get(timeout=120)
            if error is not None:
                sys.exit(f"The series was refused: {error.message()}")
            score = answer.as_numpy("SCORE")
            if score is None:
                break  # the last answer is of the study
            index = answer.as_numpy("SLICE_INDEX") + 1
            print(f"slices {index[0]:2} to {index[-1]:2}: highest score {score.max():.3f}")

    (study_score,) = answer.as_numpy("STUDY_SCORE")
    print(f"study score {study_score:.3f}")
    for volume_ml in answer.as_numpy("LESION_VOLUME_ML"):  # none where spacing allows no volume
        print(f"lesion volume {volume_ml:.1f} mL")
    decisions = zip(answer.as_numpy("OPERATING_POINT"), answer.as_numpy("DECISION"), strict=True)
    for point, decision in decisions:
        print(f"{point.decode()}: {decision.decode()}")
    print("Research demonstration, not a medical device.")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8001")
