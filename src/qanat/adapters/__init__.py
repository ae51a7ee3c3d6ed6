"""Sockets, TLS, stores, clocks, entropy, processes: the ports kept on a real machine."""
