"""Whether everything works and how well on a user's machine, and what a GPU is predicted to do."""
