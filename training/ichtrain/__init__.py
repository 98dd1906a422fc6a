"""Training room: labelled head CT or phantoms -> members, ensemble weights, evaluation."""
