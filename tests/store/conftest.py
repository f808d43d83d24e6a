from tests.store.databases import new_database, own_server, server, url

__all__ = ["new_database", "own_server", "server", "url"]
