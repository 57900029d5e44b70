"""Tables that scikit-learn brings along, as a table of one's own would be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bf_batch.batch import Batch
from bf_batch.opensets.own.columns import Categories
from bf_batch.opensets.own.labels import Task, check_task
from bf_batch.opensets.own.parts import AUTO
from bf_batch.opensets.own.table import Names, Table
from bf_index.errors import unknown

_TARGET = "target"
#: Names of the tables, and what their targets are.
_TABLES: dict[str, Task] = {
    "breast_cancer": "classification",
    "wine": "classification",
    "iris": "classification",
    "diabetes": "regression",
}


class SklearnTable(Table):
    """``breast_cancer`` (569 rows), ``wine`` (178), ``iris`` (150) or ``diabetes`` (442) of scikit-learn.

    ``features`` (n, columns) are as they were measured, ``labels`` numbers of ``classes``, of diabetes how
    far it had gone after a year (``task='regression'``). The other arguments are those of ``Table``; no file
    is needed, and ``unlabelled`` reads one with the same columns.

    >>> dataset = SklearnTable("wine")
    >>> len(dataset.train), len(dataset.test), dataset.classes
    (142, 36, ('class_0', 'class_1', 'class_2'))
    """

    def __init__(
        self,
        table: str = "breast_cancer",
        *,
        features: Sequence[str] | None = None,
        ignore: Names = (),
        shares: Any = AUTO,
        seed: int = 0,
        task: Task = "classification",
        categories: Categories | None = None,
        batch_class: type[Batch] | None = None,
    ) -> None:
        if table not in _TABLES:
            raise ValueError(unknown("table", str(table), _TABLES, "SklearnTable"))
        check_task(task, "SklearnTable")
        if task != _TABLES[table]:
            other = {"classification": "numbers", "regression": "classes"}[task]
            raise ValueError(
                f"SklearnTable: the targets of {table!r} are {other}: task={_TABLES[table]}, got {task!r}"
            )
        options: dict[str, Any] = {"features": features, "ignore": ignore, "shares": shares, "seed": seed}
        options |= {"task": task, "categories": categories, "batch_class": batch_class}
        super().__init__(table, _TARGET, **options)

    def _read(self, path: Any, sep: str | None) -> tuple[str, Any]:
        try:
            from sklearn import datasets
        except ImportError as error:
            raise ImportError("these tables come with scikit-learn: pip install scikit-learn") from error
        raw = {"scaled": False} if path == "diabetes" else {}
        bunch = getattr(datasets, f"load_{path}")(as_frame=True, **raw)
        frame = bunch.frame
        if _TABLES[path] == "classification":
            frame = frame.assign(**{_TARGET: np.asarray(bunch.target_names)[frame[_TARGET]]})
        return f"scikit-learn's {path}", frame
