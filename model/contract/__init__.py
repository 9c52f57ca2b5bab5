"""What training and serving share: text to features, the bundle, the decision. No torch here."""
