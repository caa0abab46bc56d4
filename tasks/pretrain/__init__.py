"""Stage 2: transfer learning. A backbone and a classifier over the base classes."""
