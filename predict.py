"""The second command: ``python predict.py run=outputs/NAME dataset.path=photos`` uses a trained network."""

from pathlib import Path

from bf_programs.predict import main

if __name__ == "__main__":
    main(Path(__file__).with_name("conf"))
