"""Where no thread of C writes batches there is no quick way. `_quick.pxi` has one, for `Writer` all the same."""

from typing import TYPE_CHECKING, Any

from .batch import Batch

if TYPE_CHECKING:
    from .ahead import Ahead
    from .segment import Segment
    from .writer import Reports


class Quick:
    """What a writer has on the loop. `_lent` bytes of the `_segment` may be appended by `_pen` (a `_native.Pen`) before it is the
    thread's again, `_quick` is the batch for which that is done, `_weighs` whether the free space is measured then. That is due
    with so many bytes `_unweighed`, or at `_weigh_at`; `_room` is what may be taken of it.
    """

    _reports: "Reports"

    def __init__(self) -> None:
        self._segment: Segment | None = None
        self._pen: Any = None
        self._ahead: Ahead | None = None
        self._quick: Batch | None = None
        self._weighs = False
        self._lent = 0
        self._room = 0
        self._unweighed = 0
        self._weigh_at = 0.0

    def put(self, batch: Batch) -> None:
        """Have it written; `on_written` or `on_failed` follows. None before that."""
        self._hand_over(batch)

    def _hand_over(self, batch: Batch) -> None:
        """To Python's thread."""
        raise NotImplementedError

    def _come_back(self) -> None:
        """The thread of C has something to tell."""
