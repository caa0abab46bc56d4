"""Several processes that train one model: what each does of a step, and how they meet."""
