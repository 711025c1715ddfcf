"""What the pages that are derived on paper have in common: rates, and the work of networks."""
