"""From what speaks for each group to an answer: matched, ambiguous or no match, and how sure."""
