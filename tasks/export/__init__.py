"""Stage 5: from trained models to the bundle that production gets."""
