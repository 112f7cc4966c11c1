"""Methods for pfltune that are not its own."""
