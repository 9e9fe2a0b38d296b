"""A session played back from the record, and two of them compared. Only reads; calls nothing again."""
