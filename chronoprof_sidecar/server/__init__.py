"""The HTTP side of the sidecar: routes, who may use them, and the life of the process."""
