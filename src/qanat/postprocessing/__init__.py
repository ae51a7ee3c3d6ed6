"""From clicks to secret bits: sifting, reconciliation, verification, privacy amplification, as pure sessions."""
