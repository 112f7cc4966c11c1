"""Models that leave: kept with their comparison, exported, asked for answers, told to MLflow.

A kept model is what every client of a confirmation trial predicted with in its selected round, to
the last bit. It is data: safetensors and one JSON file that says all else, never pickle.
"""
