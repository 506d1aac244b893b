"""Measures how fast the service is beside what people would pick instead; README.md has more."""
