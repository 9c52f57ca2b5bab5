"""What is minimised: how an epoch is cut into batches, and the loss of one."""
