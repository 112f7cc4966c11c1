"""Fair tuning and comparison of personalized federated-learning methods on vision transformers."""
