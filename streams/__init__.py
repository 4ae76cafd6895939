"""The stations, in flow order: documents → match → alert-results → query → HTTP, and notify → webhooks;
documents → collect → PostgreSQL → trigger → relay → trigger-commands → act → relay → trigger-results → query.
Windows of alerts: alert-results → trigger → relay → alert-results. What act and notify write: relay → documents.

match    checks every document against every standing alert
collect  stores documents, counts them, keeps drift sketches
index    builds approximate indexes of the vectors of large collections
trigger  fires on schedules, counts and drift; decides windows of alerts
act      runs what a trigger asks for, from a lease
notify   delivers what fired
relay    publishes what the others committed
query    materialises results and serves them; api takes definitions and documents
"""
