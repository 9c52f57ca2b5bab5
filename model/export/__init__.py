"""From a trained encoder to a bundle that serves."""
