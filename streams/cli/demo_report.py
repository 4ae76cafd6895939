"""What the demo tells at its end: facts gathered from the view, as JSON and as a picture in the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas.times import format_instant
from streams.runtime.database import Connection

_BARS = " ▁▂▃▄▅▆▇█"


@dataclass
class AlertFacts:
    """How often one alert fired, by month of the document."""

    name: str
    alert_id: str
    executions: int
    by_month: dict[str, int] = field(default_factory=dict)


@dataclass
class TriggerFacts:
    """What one trigger checked and when it fired."""

    trigger_id: str
    trigger_type: str
    description: str
    checks: int
    fires: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class ActionFacts:
    """One job and its outcome; ``clusters`` are the largest first."""

    trigger_id: str
    job_id: str
    status: str
    num_clusters: int | None
    num_documents: int | None
    error: str | None = None
    clusters: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Facts:
    """Everything that happened."""

    documents: int
    seconds: float
    alerts: list[AlertFacts]
    triggers: list[TriggerFacts]
    actions: list[ActionFacts]
    curl: list[str]

    @property
    def documents_per_second(self) -> float:
        """Documents over the time from the first record sent to the last result visible."""
        return self.documents / self.seconds

    def to_json(self) -> dict[str, Any]:
        """The report file."""
        return {
            "documents": self.documents,
            "seconds": round(self.seconds, 3),
            "documents_per_second": round(self.documents_per_second, 1),
            "alerts": [
                {
                    "name": alert.name,
                    "alert_id": alert.alert_id,
                    "executions": alert.executions,
                    "by_month": alert.by_month,
                }
                for alert in self.alerts
            ],
            "triggers": [
                {
                    "trigger_id": trigger.trigger_id,
                    "trigger_type": trigger.trigger_type,
                    "checks": trigger.checks,
                    "fires": trigger.fires,
                }
                for trigger in self.triggers
            ],
            "actions": [
                {
                    "trigger_id": action.trigger_id,
                    "job_id": action.job_id,
                    "status": action.status,
                    "num_clusters": action.num_clusters,
                    "num_documents": action.num_documents,
                }
                for action in self.actions
            ],
            "curl": self.curl,
        }


async def gather_alerts(connection: Connection, namespace_id: str) -> list[AlertFacts]:
    """Executions per alert and month, in the order the alerts were made."""
    cursor = await connection.execute(
        "SELECT d.name, d.id, to_char(r.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM'), count(r.base)"
        " FROM definitions d LEFT JOIN alert_executions e ON e.namespace_id = d.namespace_id AND e.alert_id = d.id"
        " LEFT JOIN result_documents r ON r.day = e.day AND r.base = e.base"
        " WHERE d.kind = 'alert' AND d.namespace_id = %s AND d.deleted_at IS NULL"
        " GROUP BY d.name, d.id, d.number, 3 ORDER BY d.number, 3",
        (namespace_id,),
    )
    alerts: dict[str, AlertFacts] = {}
    for name, alert_id, month, count in await cursor.fetchall():
        facts = alerts.setdefault(alert_id, AlertFacts(name, alert_id, 0))
        if count:
            facts.by_month[month] = count
            facts.executions += count
    return list(alerts.values())


async def gather_triggers(connection: Connection, namespace_id: str) -> list[TriggerFacts]:
    """Checks and fires of both trigger families, in the order they were made."""
    cursor = await connection.execute(
        "SELECT s.trigger_id, s.trigger_type, coalesce(d.name, d.body->>'description', ''), s.check_count"
        " FROM trigger_state s JOIN definitions d ON d.id = s.trigger_id AND d.namespace_id = s.namespace_id"
        " WHERE s.namespace_id = %s ORDER BY d.number",
        (namespace_id,),
    )
    triggers = [TriggerFacts(*row) for row in await cursor.fetchall()]
    for trigger in triggers:
        jobs = await connection.execute(
            "SELECT nominal_at, command FROM jobs WHERE trigger_id = %s ORDER BY nominal_at, job_id",
            (trigger.trigger_id,),
        )
        for nominal_at, command in await jobs.fetchall():
            measured: Mapping[str, Any] = command.get("measurement") or {}
            trigger.fires.append(
                {
                    "at": format_instant(nominal_at),
                    "metric": measured.get("metric"),
                    "value": measured.get("value"),
                    "threshold": measured.get("threshold"),
                    "reason": command["reason"],
                }
            )
    return triggers


async def gather_actions(connection: Connection, namespace_id: str) -> list[ActionFacts]:
    """Every job with its clustering."""
    cursor = await connection.execute(
        "SELECT j.trigger_id, j.job_id, j.status, c.num_clusters, c.num_points, j.error, c.centroids"
        " FROM jobs j LEFT JOIN cluster_runs c ON c.job_id = j.job_id"
        " WHERE j.namespace_id = %s ORDER BY j.triggered_at, j.job_id",
        (namespace_id,),
    )
    actions = []
    for trigger_id, job_id, status, clusters, points, error, centroids in await cursor.fetchall():
        largest = sorted(centroids or [], key=lambda cluster: -int(cluster["num_members"]))
        actions.append(ActionFacts(trigger_id, job_id, status, clusters, points, error, largest))
    return actions


def months_between(first: str, last: str) -> list[str]:
    """Every month from ``first`` to ``last``, both ``YYYY-MM``."""
    start, end = (int(month[:4]) * 12 + int(month[5:]) - 1 for month in (first, last))
    return [f"{month // 12}-{month % 12 + 1:02}" for month in range(start, end + 1)]


def sparkline(counts: Sequence[int]) -> str:
    """One character per count; anything above zero shows at least the lowest bar."""
    top = max(counts, default=0)
    if top == 0:
        return " " * len(counts)
    return "".join(_BARS[0 if n == 0 else max(1, round(n / top * (len(_BARS) - 1)))] for n in counts)


def year_axis(months: Sequence[str]) -> str:
    """Year labels under their Januaries."""
    axis = [" "] * len(months)
    for at, month in enumerate(months):
        if month.endswith("-01") and at + 4 <= len(months):
            axis[at : at + 4] = month[:4]
    return "".join(axis)


def render(console: Console, facts: Facts) -> None:
    """Print the facts for a person."""
    console.print(
        f"\n[bold]{facts.documents:,} documents[/] in [bold]{facts.seconds:.1f} s[/]: "
        f"[bold green]{facts.documents_per_second:,.0f} documents/s[/] from the first record to the last result.\n"
    )
    console.print(_alerts_table(facts.alerts, wide=console.width >= 100))
    for trigger in facts.triggers:
        console.print(_trigger_panel(trigger, [a for a in facts.actions if a.trigger_id == trigger.trigger_id]))
    console.print("\nAsk for it yourself:\n", style="bold")
    for line in facts.curl:
        # One line each, so that it can be pasted; never wrapped, never marked up.
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print()


def _alerts_table(alerts: Sequence[AlertFacts], *, wide: bool) -> Table:
    seen = sorted({month for alert in alerts for month in alert.by_month})
    months = months_between(seen[0], seen[-1]) if seen else []
    table = Table(title="Alerts: executions by month", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("alert", style="bold", overflow="fold")
    table.add_column("fired", justify="right", min_width=5)
    table.add_column(f"{months[0]} to {months[-1]}" if months else "", no_wrap=True, min_width=len(months))
    if wide:
        table.add_column("peak month", no_wrap=True)
    for alert in alerts:
        peak = max(alert.by_month.items(), key=lambda item: item[1], default=None)
        table.add_row(
            alert.name,
            f"{alert.executions:,}",
            Text(sparkline([alert.by_month.get(month, 0) for month in months]), style="cyan"),
            *([f"{peak[0]}: {peak[1]:,}" if peak else ""] if wide else []),
        )
    table.add_row("", "", Text(year_axis(months), style="dim"))
    return table


def _trigger_panel(trigger: TriggerFacts, actions: Sequence[ActionFacts]) -> Panel:
    checks = f"{trigger.checks} checks made, " if trigger.checks else ""
    lines: list[Any] = [Text(f"{checks}fired {len(trigger.fires)} times")]
    lines.extend(Text.assemble((fire["at"][:10], "bold"), "  ", fire["reason"]) for fire in trigger.fires)
    for action in actions:
        size = f"{action.num_documents or 0:,} documents, {action.num_clusters or 0} clusters"
        lines.append(Text(f"\n{action.status}: {action.error or size}  ({action.job_id})", style="bold"))
        for cluster in action.clusters[:3]:
            title = " ".join(str(cluster.get("summary") or "").split())
            lines.append(
                Text(
                    f"  {cluster['num_members']:>6,}  {cluster.get('label') or ''}: {title}",
                    no_wrap=True,
                    overflow="ellipsis",
                )
            )
    return Panel(
        Group(*lines),
        title=f"{trigger.description} [dim]({trigger.trigger_type} trigger {trigger.trigger_id})[/]",
        title_align="left",
        border_style="yellow" if trigger.fires else "dim",
    )
