"""Cases that once went wrong, by their kind and number."""
