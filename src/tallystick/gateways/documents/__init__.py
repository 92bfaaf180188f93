"""Documents of invoices: pages for people (PDF/A-3) with the electronic form for programs inside (rows D6, E13)."""
