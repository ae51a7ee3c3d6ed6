"""Names and structures of ETSI GS QKD 015 V2.1.1 (2022-04), the interface between QKD nodes and an SDN controller."""
