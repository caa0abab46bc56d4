"""The five stages and the ideas they share. Knows neither Prefect nor DVC."""
