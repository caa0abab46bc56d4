"""What starts the stages: the Prefect flow, its schedule and the command line."""
