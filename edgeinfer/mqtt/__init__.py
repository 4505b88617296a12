"""The way to a broker: options, one connection, what is heard. Sinks and sources build on it; nothing here knows either, nor
can reach a frame."""
