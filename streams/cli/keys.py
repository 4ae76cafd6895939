"""``tidewatch keys``: create, list and revoke keys of the HTTP API."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.times import format_instant
from streams.cli.process import CommandError, load_settings, run
from streams.runtime.database import Connection, Database
from streams.runtime.definitions import find_definition, list_definitions
from streams.runtime.keys import SCOPES, create_key, list_keys, revoke_key

keys = typer.Typer(help="Create, list or revoke keys of the HTTP API.", no_args_is_help=True)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Name or id of a namespace the key reaches; repeat for several.", show_default="all"),
    ] = None,
    scopes: Annotated[str, typer.Option(help="What the key may do, by commas.")] = ",".join(SCOPES),
) -> None:
    """Create a key and print it. It is stored as a hash, so this is the only time it is seen."""
    settings = load_settings()

    async def main() -> None:
        wanted = _scopes(scopes)
        async with Database(settings) as database, database.transaction() as connection:
            reached = [await _namespace_id(connection, item) for item in namespace or ()]
            stored, secret = await create_key(connection, name, reached or None, wanted)
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"[green]created[/] {stored.key_id}; this is the only time the key is shown:"
        )
        typer.echo(secret)

    run(main(), settings)


@keys.command("list")
def list_all() -> None:
    """List the keys, newest first."""
    settings = load_settings()

    async def main() -> None:
        async with Database(settings) as database, database.connection() as connection:
            found = await list_keys(connection)
            names = {item.record.id: item.record.name for item in await list_definitions(connection, "namespace")}
        table = Table(box=None, header_style="bold")
        for heading in ("key", "name", "namespaces", "scopes", "created", "revoked"):
            table.add_column(heading)
        for key in found:
            table.add_row(
                f"[cyan]{key.key_id}[/]",
                escape(key.name),
                "all"
                if key.namespace_ids is None
                else ", ".join(names.get(id_) or id_ for id_ in key.namespace_ids),
                ",".join(key.scopes),
                format_instant(key.created_at),
                "" if key.revoked_at is None else f"[red]{format_instant(key.revoked_at)}[/]",
            )
        Console().print(table)

    run(main(), settings)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `tidewatch keys list` shows it.")],
) -> None:
    """Refuse a key from now on."""
    settings = load_settings()

    async def main() -> None:
        async with Database(settings) as database, database.connection() as connection:
            if not await revoke_key(connection, key_id):
                raise CommandError(f"there is no key {key_id} that could be revoked")
        Console(highlight=False, soft_wrap=True).print(f"[green]revoked[/] {escape(key_id)}")

    run(main(), settings)


def _scopes(text: str) -> list[str]:
    wanted = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        raise CommandError(f"unknown scope {', '.join(unknown)}; there are {', '.join(SCOPES)}")
    if not wanted:
        raise CommandError("a key without a scope could do nothing; name at least one")
    return wanted


async def _namespace_id(connection: Connection, identifier: str) -> str:
    found = await find_definition(connection, "namespace", "", identifier)
    if found is None:
        raise CommandError(f"there is no namespace {identifier!r}")
    return found.record.id
