"""What a calibration set is judged by, part by part; ``quantize.judge`` asks them all."""
