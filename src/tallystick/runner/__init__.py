"""The workflow runner: claims runs from a server, executes their nodes and reports what they used.

It speaks to the server as any platform's own engine would: through the public client, and nothing else.
"""
