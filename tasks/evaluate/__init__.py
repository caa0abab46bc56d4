"""Stage 4: what the training was worth, measured on classes that it never saw."""
