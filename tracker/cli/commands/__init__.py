"""The commands, a module each; all define `command` and import what is heavy only when they run."""
