"""What turns embeddings into class scores."""
