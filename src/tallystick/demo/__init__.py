"""The demo workspace: ninety days of believable usage, and the command that shows them."""
