"""What keeps INT8 close to float, in numpy on the graph itself: no training, no labels, a few dozen samples.

    equalize     channels of unlike size are evened out across layers; the function stays the same
    rounding     integers of the weights that keep each layer's output, not each weight
    bias         what rounding shifts on average is taken out of the biases
    sensitivity  which layers' rounding hurts the outputs most
"""
