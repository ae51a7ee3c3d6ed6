"""Names of the arrays that solvers work with."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Entries: TypeAlias = tuple[Ints, Ints, Floats]
"""Of a matrix: rows, columns, values."""
