"""A mixed load over real HTTP, what breaks meanwhile, and what must be true in the end."""
