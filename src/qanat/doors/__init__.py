"""The interfaces that applications speak: messages and pure handlers, no sockets."""
