"""What the service tells those who run it: logs and metrics. Never the text of a sentence, never a key."""
