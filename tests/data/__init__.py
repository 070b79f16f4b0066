"""Tests of the data loader: what it reads, how it divides it, and what it says when it cannot."""
