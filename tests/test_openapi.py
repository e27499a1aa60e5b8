"""The OpenAPI document: it is valid, complete, and what it says is so."""
