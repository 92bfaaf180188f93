"""Who is there and may do what: workspaces, tokens, rights, repeated requests."""
