"""edgeinfer: INT8 inference on small devices, in fixed memory, publishing only results."""

__version__ = "0.1.0"
