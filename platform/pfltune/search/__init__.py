"""What to try: plans, search spaces, suggestions, brackets; knows neither Ray nor a terminal."""
