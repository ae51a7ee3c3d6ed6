"""An operator's acceptance test: many tests of all services between users of a network, and why some failed."""
