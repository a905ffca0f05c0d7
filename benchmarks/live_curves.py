"""How much longer training takes with curves that grow, and with a bar: CPU time, in pairs.

    python benchmarks/live_curves.py

Both run in the kernel of a notebook, in turn, so that what else the machine does hits both.
"""

import nbformat
from nbclient import NotebookClient

PAIRS = 8
CODE = f"""
import time

import pytorch_lightning as pl

from lab_utils import CNN, EMNIST, BaseLitModel, LiveCurves, TrainingBar

data = EMNIST(source="sample")
data.prepare_data()
data.setup()


def train(**shown):
    pl.seed_everything(0, verbose=False)
    lit_model = BaseLitModel(CNN(data.config(), conv_dim=16))
    limits = dict(max_epochs=2, limit_train_batches=40, limit_val_batches=10)
    quiet = dict(logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer = pl.Trainer(accelerator="cpu", **shown, **limits, **quiet)
    start = time.process_time()
    trainer.fit(lit_model, datamodule=data)
    return time.process_time() - start


nothing = dict(enable_progress_bar=False)
train(**nothing)
for name, make in (("curves", LiveCurves), ("bar", TrainingBar)):
    ratios = sorted(train(callbacks=make()) / train(**nothing) for _ in range({PAIRS}))
    median, ends = ratios[len(ratios) // 2], f"{{ratios[0]:.3f}} to {{ratios[-1]:.3f}}"
    print(f"{{name}} / nothing: median {{median:.3f}}, from {{ends}}, n = {PAIRS}")
"""


def main() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    NotebookClient(notebook, timeout=None).execute()
    for output in notebook.cells[0].outputs:
        if output.output_type == "stream":
            print(output.text, end="")


if __name__ == "__main__":
    main()
