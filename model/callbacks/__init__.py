"""What happens around the steps of a run: schedules, averages, checkpoints, early stopping, progress."""
