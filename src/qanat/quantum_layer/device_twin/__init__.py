"""The twin of a link's devices as calibration meets them. Calibration sessions never import this room."""
