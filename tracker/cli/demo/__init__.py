"""Everything at once on one machine: a simulated gateway, the real daemon, a receiver that checks signatures."""
