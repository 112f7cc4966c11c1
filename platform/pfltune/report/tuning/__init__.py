"""What a search found: its words, its tables, its pictures, and the page of one method's tuning."""
