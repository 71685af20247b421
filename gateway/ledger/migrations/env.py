"""Alembic's way into the ledger's migrations: they run on the connection and in the transaction they are given.

A new version: add a file to `versions/`, change `gateway.ledger.schema` or `keys_schema`, and add its revision to
`REVISIONS` there.
"""

from alembic import context

from gateway.ledger import keys_schema, schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[schema.metadata, keys_schema.keys_metadata],
    version_table=schema.VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
