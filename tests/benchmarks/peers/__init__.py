"""The same five routes in four other stacks, each as its own community would write it well.

They work on the same tables as a superuser, so row level security costs them nothing; they keep no
metrics and no request log, check no media type, and know of errors only what a client must see.
Each request looks its token up in the user database.
"""
