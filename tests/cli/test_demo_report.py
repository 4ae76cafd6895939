"""The demo's report: JSON facts and the picture in the terminal."""

from io import StringIO

from rich.console import Console

from streams.cli.demo_report import (
    ActionFacts,
    AlertFacts,
    Facts,
    TriggerFacts,
    months_between,
    render,
    sparkline,
    year_axis,
)

FACTS = Facts(
    documents=100,
    seconds=4.0,
    alerts=[
        AlertFacts("Ebola", "alt_1", 11, {"2013-11": 1, "2014-10": 10}),
        AlertFacts("Silent", "alt_2", 0),
    ],
    triggers=[
        TriggerFacts(
            "trig_1",
            "conditional",
            "Drift",
            200,
            [
                {
                    "at": "2014-10-23T00:00:00.000Z",
                    "metric": "m",
                    "value": 0.3,
                    "threshold": 0.2,
                    "reason": "drifted",
                }
            ],
        )
    ],
    actions=[
        ActionFacts("trig_1", "job_1", "completed", 2, 90, None, [{"num_members": 60, "label": "flu, shot"}]),
        ActionFacts("trig_1", "job_2", "failed", None, None, "too few documents"),
    ],
    curl=["curl -s http://127.0.0.1:1/v1/alerts/alt_1/results"],
)


def test_months_and_bars() -> None:
    assert months_between("2013-11", "2014-02") == ["2013-11", "2013-12", "2014-01", "2014-02"]
    assert sparkline([0, 1, 4, 8]) == " ▁▄█"
    assert sparkline([1, 10_000]) == "▁█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""
    assert year_axis(months_between("2013-11", "2014-06")) == "  2014  "


def test_json_has_the_promised_keys() -> None:
    report = FACTS.to_json()
    assert report["documents_per_second"] == 25.0
    assert report["alerts"][0] == {
        "name": "Ebola",
        "alert_id": "alt_1",
        "executions": 11,
        "by_month": {"2013-11": 1, "2014-10": 10},
    }
    assert report["triggers"][0]["fires"][0]["reason"] == "drifted"
    assert set(report["actions"][0]) == {"trigger_id", "job_id", "status", "num_clusters", "num_documents"}


def test_the_picture_names_what_matters() -> None:
    out = StringIO()
    render(Console(file=out, width=120), FACTS)
    text = out.getvalue()
    for expected in ("Ebola", "2014-10: 10", "2014-10-23  drifted", "job_1", "too few documents", *FACTS.curl):
        assert expected in text
