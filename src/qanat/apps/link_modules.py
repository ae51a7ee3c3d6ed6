"""stub"""

from __future__ import annotations


class LocalModules:
    def __init__(self, *a, **k): ...
