"""The paper's analyses: why a likelihood is fooled. Run from a checkout; see `analysis.report`."""
