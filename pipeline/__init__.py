"""Rally's pipeline: six doors (the stages of dvc.yaml) and the rooms behind them."""
