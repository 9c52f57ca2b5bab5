"""How good an encoder is, and the thresholds that follow from it."""
