"""The database: engine, map of the schema, migrations and the private server."""
