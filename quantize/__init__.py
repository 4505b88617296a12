"""quantize: the offline toolkit, from a model file to a bundle that edgeinfer runs."""
