"""Tables, transactions and every query: the only place with SQL."""
