"""The QKDN controller: policy, routing, generation orders. It never sees a key."""
