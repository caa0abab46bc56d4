"""Stage 3: meta-learning. Episodes of base classes teach the backbone to be adapted."""
