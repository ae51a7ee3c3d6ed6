"""Constants of nature and of the house's conventions."""

from __future__ import annotations

SPEED_OF_LIGHT_M_PER_S = 299_792_458.0
"""Exact by definition of the metre (SI)."""

PLANCK_J_S = 6.626_070_15e-34
"""Exact by definition of the kilogram (SI)."""

BOLTZMANN_J_PER_K = 1.380_649e-23
"""Exact by definition of the kelvin (SI)."""

FIBRE_GROUP_INDEX = 1.4682
"""Group index of standard single-mode fibre at 1,550 nm (typical data-sheet value, ITU-T G.652 fibre)."""

TAG_BITS = 128
"""A whole Wegman-Carter tag, and the one-time pad that hides it. Sessions send as much of it as their epsilon asks."""

MIN_TAG_BITS = 64
"""No session sends less, whatever its epsilon: shorter tags would save little beside the hash keys, and somebody may
try to guess one in every session."""

HASH_KEY_BITS = 128
"""The secret polynomial point of the Wegman-Carter hash."""

QBER_ABORT = 0.05
"""Default abort threshold of a fibre link's quantum bit error rate."""

TAGGED_PHASES = 3
"""Phases of a distillation session that end with a tag in each direction: sift; reconcile and verify; amplify."""

SESSION_PAD_BITS = 2 * (HASH_KEY_BITS + TAGGED_PHASES * TAG_BITS)
"""The most that one session (one amplification block) takes from the authentication reserve: per direction a hash key
and a pad per tag, of 128 bits each. Key managers and initial keys reckon with it: they do not know a session's
epsilons (those are the QKD module's), and a reserve is for the worst case. What a session takes is
``SessionConfig.pad_bits``; the rest of what it was given is destroyed and counted in its ledger."""
