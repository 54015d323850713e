"""One file per step; a new one gets the next number and `store.migrate.NEWEST`."""
