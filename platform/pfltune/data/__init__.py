"""Data sets in memory, how they are dealt to clients, and each client's train/val/test parts."""
