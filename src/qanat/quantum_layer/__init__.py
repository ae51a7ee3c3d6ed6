"""QKD modules and QKD links: transmit, distil, hand out key blocks."""
