"""Tests of detectors: one contract, and scores that are right where they are known in closed form."""
