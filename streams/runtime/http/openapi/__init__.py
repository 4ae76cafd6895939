"""The OpenAPI 3.1 document of the service: what the routes declare, completed by rule."""
