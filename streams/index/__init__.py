"""index: builds approximate indexes of the vectors of large collections, beside the tables that collect writes."""
