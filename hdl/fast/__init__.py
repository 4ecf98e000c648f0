"""The fast form: row-wide memories, parts that overlap."""
