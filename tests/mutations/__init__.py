"""Faults put into the code by chance, each of which the nearest tests should notice."""
