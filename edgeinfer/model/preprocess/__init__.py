"""From a frame or a window to the model's input tensor: one arithmetic for calibration and for the device."""
