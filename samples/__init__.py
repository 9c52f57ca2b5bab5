"""The demo's own data, written by hand for this project: a bilingual customer-service FAQ and held-out questions."""
