"""ETSI GS QKD 014 V1.1.1: key delivery over REST."""
