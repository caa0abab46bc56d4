"""What `headstart inspect` finds out about images before anything is trained on them."""
