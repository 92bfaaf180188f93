"""From usage events to rated charges: events, meters, prices, rating, attribution, totals."""
