"""The registry of encoders: which bundles this service knows."""
