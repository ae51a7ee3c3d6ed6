"""Calibration of a link: sessions that turn knobs and read counts, of a device of which they see nothing else."""
