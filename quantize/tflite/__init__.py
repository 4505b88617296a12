"""Float graphs and quantised graphs as .tflite files, with numpy and flatbuffers alone.

    lower     channels last, and in operators that TFLite has; integers where the grids say so (``lowering``, ``lower``)
    settle    Transposes pushed out of the way (``quantize.graph.transposes``)
    emit      one function an operator writes it into the file (``emit``, ``file``)

Inputs and outputs keep their names. Pictures have their channels last, as cameras give them; ``Converted`` says so.
"""

from __future__ import annotations

from quantize.tflite.write import Converted, write_float, write_int8

__all__ = ["Converted", "write_float", "write_int8"]
