"""The demo's own data, written by hand for this project: a bilingual customer-service FAQ, sentences that it does not
answer, and held-out questions."""
