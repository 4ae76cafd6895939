"""notify: alert-results → webhooks and Slack. Owns cooldown, delivery rows, signatures and retries."""
