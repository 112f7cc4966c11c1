"""What is asked for: comparisons and sensitivity studies, each as one kind of job."""
