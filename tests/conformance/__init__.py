"""Nets as people export them from PyTorch, through reader and writers, against the exported file in ONNX Runtime.

Needs torch and torchvision, which the toolkit itself does not: ``make conformance`` sets up a venv of its own.
"""
