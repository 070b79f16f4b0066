"""What makes the files of this repository that are not written by hand."""
