"""What is known of records beside their vectors: texts, groups, metadata; and which of them a filter lets through."""
