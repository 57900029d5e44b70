"""The main command: ``python train.py model=resnet18`` trains, tests and records one model."""

from pathlib import Path

from bf_programs.train import main

if __name__ == "__main__":
    main(Path(__file__).with_name("conf"))
