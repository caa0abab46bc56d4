"""Stage 1: from a source of images to the image store."""
