"""Networks that turn images into embeddings: one file a network."""
