"""What a model is: the half that the device and the toolkit share."""
