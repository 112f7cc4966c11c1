"""What is asked for: comparisons, grids and sensitivity studies, each as one kind of job."""
