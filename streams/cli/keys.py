"""``tidewatch keys``: create, list, rotate and revoke keys of the HTTP API."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.times import format_instant
from streams.cli.durations import parse_duration, parse_expiry
from streams.cli.process import CommandError, load_settings, run
from streams.runtime.clock import utc_now
from streams.runtime.database import Connection, Database
from streams.runtime.definitions import find_definition, list_definitions
from streams.runtime.keys import SCOPES, ApiKey, create_key, list_keys, revoke_key, rotate_key
from streams.runtime.secrets import SecretKeyMissingError, SecretUnreadableError
from streams.runtime.secrets import reencrypt as encrypt_anew

_T = TypeVar("_T")

keys = typer.Typer(
    help="Create, list, rotate or revoke keys of the HTTP API; change the key that encrypts secrets.",
    no_args_is_help=True,
)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Name or id of a namespace the key reaches; repeat for several.", show_default="all"),
    ] = None,
    scopes: Annotated[
        str,
        typer.Option(
            help="What the key may do, by commas. read: ask; write: create, change, run and delete within"
            " namespaces; admin: namespaces themselves, organisation webhooks, metrics."
        ),
    ] = ",".join(SCOPES),
    expires: Annotated[
        str | None,
        typer.Option(
            help="When the key ends: after a time (90d, 12h, 30m) or at an instant (2027-01-31).",
            show_default="never",
        ),
    ] = None,
) -> None:
    """Create a key and print it. It is stored as a hash, so this is the only time it is seen."""
    settings = load_settings()

    async def main() -> None:
        wanted = _scopes(scopes)
        expires_at = (
            None if expires is None else _checked(lambda text: parse_expiry(text, utc_now()), "--expires", expires)
        )
        async with Database(settings) as database, database.transaction() as connection:
            reached = [await _namespace_id(connection, item) for item in namespace or ()]
            stored, secret = await create_key(connection, name, reached or None, wanted, expires_at)
        _show(f"[green]created[/] {stored.key_id}", secret)

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
        for heading in ("key", "name", "namespaces", "scopes", "created", "last used", "state"):
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
                "never" if key.last_used_at is None else format_instant(key.last_used_at),
                _state(key, utc_now()),
            )
        Console().print(table)

    run(main(), settings)


@keys.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `tidewatch keys list` shows it.")],
    grace: Annotated[
        str, typer.Option(help="How long the old secret is still accepted (7d, 12h, 30m); 0s for not at all.")
    ] = "24h",
) -> None:
    """Give a key a new secret and print it; the old one works for a while longer."""
    settings = load_settings()

    async def main() -> None:
        lasts = _checked(parse_duration, "--grace", grace)
        async with Database(settings) as database, database.connection() as connection:
            secret = await rotate_key(connection, key_id, lasts)
        if secret is None:
            raise CommandError(f"there is no key {key_id} that could be rotated")
        _show(f"[green]rotated[/] {escape(key_id)}; the old secret is accepted for {escape(grace)}", secret)

    run(main(), settings)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `tidewatch keys list` shows it.")],
) -> None:
    """Refuse a key from now on; browser sessions opened with it end too."""
    settings = load_settings()

    async def main() -> None:
        async with Database(settings) as database, database.connection() as connection:
            if not await revoke_key(connection, key_id):
                raise CommandError(f"there is no key {key_id} that could be revoked")
        Console(highlight=False, soft_wrap=True).print(f"[green]revoked[/] {escape(key_id)}")

    run(main(), settings)


@keys.command()
def reencrypt() -> None:
    """Encrypt stored webhook secrets anew with the first key in TIDEWATCH_SECRET_KEY; then the others may go."""
    settings = load_settings()

    async def main() -> None:
        async with Database(settings) as database, database.transaction() as connection:
            try:
                count = await encrypt_anew(connection, settings.secret_key)
            except (SecretKeyMissingError, SecretUnreadableError) as error:
                raise CommandError(str(error)) from error
        Console(highlight=False, soft_wrap=True).print(f"[green]encrypted anew[/] {count} secrets")

    run(main(), settings)


def _show(what: str, secret: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{what}; this is the only time the key is shown:")
    typer.echo(secret)


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"[red]revoked {format_instant(key.revoked_at)}[/]"
    if key.expires_at is not None and key.expires_at <= now:
        return f"[red]expired {format_instant(key.expires_at)}[/]"
    words = [] if key.expires_at is None else [f"until {format_instant(key.expires_at)}"]
    if key.previous_expires_at is not None and key.previous_expires_at > now:
        words.append(f"[yellow]old secret until {format_instant(key.previous_expires_at)}[/]")
    return "; ".join(words) or "valid"


def _checked(parse: Callable[[str], _T], option: str, text: str) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from error


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
