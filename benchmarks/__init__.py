"""Speed measurements: our Glow beside its peers and beside a floor."""
