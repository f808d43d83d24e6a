"""The dashboard: one page for people, and the files that it is made of."""
