"""What the networks of an experiment learned, where they fail, and how far their probabilities can be trusted."""
