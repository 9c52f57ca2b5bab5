"""One file a loss, named after its paper or its field's term."""
