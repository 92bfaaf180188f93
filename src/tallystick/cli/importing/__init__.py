"""Reading somebody's usage history from a file: rows of any of three formats, mapped to events, each sent once."""
