"""All answers of a TFLite file by an interpreter of another environment, which has numpy and tflite-runtime only: a script.

    PYTHON tests/quantize/run_tflite.py FILE INPUTS.npy OUTPUTS.npy

INPUTS: real numbers, one sample a row, in the file's layout. OUTPUTS: real numbers, one answer a row.
"""

from __future__ import annotations

import sys

import numpy as np
from tflite_runtime.interpreter import Interpreter


def main(file: str, inputs: str, outputs: str) -> None:
    interpreter = Interpreter(file, num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    found = []
    for sample in np.load(inputs):
        stored = np.clip(np.rint(sample.astype(np.float64) / scale) + zero_point, -128, 127).astype(source["dtype"])
        interpreter.set_tensor(source["index"], stored.reshape(source["shape"]))
        interpreter.invoke()
        answer = interpreter.get_tensor(target["index"]).astype(np.float64).ravel()
        found.append((answer - target["quantization"][1]) * target["quantization"][0])
    np.save(outputs, np.array(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
