"""Data to calibrate and to judge on, in the kinds that people have it.

    folder of pictures    jpg, png, bmp, webp, tiff, pgm, ppm, in folders too
    framelog              what ``edgeinfer record`` wrote on the device: pictures or samples
    .npy                  pictures (n, height, width, 3), windows (n, length, channels), or a stream (n, channels)
    .npz                  an array for each input of a model of several; labels
    .csv                  a row is a sample of all channels, or a window; a label column
    .wav                  PCM or float; windows are cut from it

Windows may also come as a folder of csv, npy, wav or framelog files. Everything is in order (by name), walked in the memory
of one sample, and preprocessed by the code that runs on the device.
"""

from __future__ import annotations

from quantize.dataset.labels import IGNORED, Boxes, ClassLabel, Keypoints, Label, Mask, Values
from quantize.dataset.opening import open_dataset
from quantize.dataset.samples import Dataset, Sample
from quantize.dataset.tensors import Tensors, tensors

__all__ = ["IGNORED", "Boxes", "ClassLabel", "Dataset", "Keypoints", "Label", "Mask", "Sample", "Tensors", "Values",
           "open_dataset", "tensors"]
