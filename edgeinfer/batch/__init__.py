"""Many inputs through one model, in order, each once: whatever kills the run, the same command goes on where it stopped."""
