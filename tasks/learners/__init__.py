"""What adapts to an episode: one learner a file, all of them behind one protocol."""
