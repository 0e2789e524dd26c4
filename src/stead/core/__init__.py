"""What every room stands on: schema, messages, keys, seals, the log's tree; and seams for time, chance and peers."""
