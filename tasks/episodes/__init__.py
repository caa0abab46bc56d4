"""Episodes: what they are, how they are drawn, and how their images are varied in training."""
