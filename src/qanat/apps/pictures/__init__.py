"""Pictures that more than one command draws: the sheet, and networks on a map."""
