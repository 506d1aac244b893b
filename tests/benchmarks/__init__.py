"""How fast the service is, measured beside what people would pick instead; README.md has more."""
