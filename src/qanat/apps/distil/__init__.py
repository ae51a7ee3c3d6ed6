"""Two parties for real: recorded detections in two processes become the same secret key files."""
