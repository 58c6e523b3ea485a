"""Hosts, the paths between them, and what carries packets through a path's boxes."""
