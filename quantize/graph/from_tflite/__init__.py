"""TFLite operators turned into the graph's, by kind. ``tflite_reader`` is the way in."""
