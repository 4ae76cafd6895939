"""The laptop stack: brokers and a database as child processes, from wheels and jars, without Docker."""
