"""Pages of our own that need no login: reached by a signed link, plain HTML, no script, nothing from elsewhere."""
