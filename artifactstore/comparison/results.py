"""What looking into two files finds: plain structs, sizes in bytes."""

import msgspec


class Tensor(msgspec.Struct, frozen=True):
    """A tensor of a file.

    Attributes:
        name: Its name.
        dtype: Its type as the file names it: `F32`, `BF16`, `I64` …
        shape: Elements along each dimension.
        size_bytes: Its bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


class TensorChange(msgspec.Struct, frozen=True):
    """A tensor that is in both files, and not the same.

    Attributes:
        before: What it was.
        after: What it is.
        max_abs: The largest absolute difference of two elements; None where there is nothing to measure.
        relative_l2: The L2 norm of the difference by that of the tensor before; infinite when that is zero.
        not_finite: Elements that are left out of both, as they are not finite in both files.
    """

    before: Tensor
    after: Tensor
    max_abs: float | None = None
    relative_l2: float | None = None
    not_finite: int = 0

    @property
    def name(self) -> str:
        """Its name."""
        return self.after.name


class TensorsDiff(msgspec.Struct, frozen=True):
    """How two files of tensors differ.

    Attributes:
        format: `safetensors`.
        added: Tensors that only the second file has, by name.
        removed: Tensors that only the first file has.
        changed: Tensors of another type or shape, or of other bytes.
        equal: Tensors that are the same.
        metadata: Keys of the file's own metadata that differ, each with the text before and after; None for none.
        unmeasured: Why differences were not measured; empty when they were.
    """

    format: str
    added: tuple[Tensor, ...]
    removed: tuple[Tensor, ...]
    changed: tuple[TensorChange, ...]
    equal: int
    metadata: tuple[tuple[str, str | None, str | None], ...]
    unmeasured: str = ""


class ColumnChange(msgspec.Struct, frozen=True):
    """A column that is not the same in both tables.

    Attributes:
        name: Its name, in the second table where it is there.
        status: `added`, `removed`, `renamed`, `typed` (of another type) or `changed`.
        name_before: What a renamed column was called; None otherwise.
        type_before: Its type in the first table; None where it is added.
        type_after: Its type in the second; None where it is removed.
        rows_changed: Rows in which its value is another one, of the rows that both tables have; None where rows don't
            lie side by side, or values can't be compared.
    """

    name: str
    status: str
    name_before: str | None = None
    type_before: str | None = None
    type_after: str | None = None
    rows_changed: int | None = None


class TableDiff(msgspec.Struct, frozen=True):
    """How two tables differ.

    Attributes:
        format: `csv` or `parquet`.
        rows_before: Rows of the first, without its header.
        rows_after: Rows of the second.
        columns: Columns that differ: added, removed and renamed ones, then those of both in the second's order.
        columns_equal: Columns that are the same in the rows that both tables have.
        aligned: Whether rows lie side by side: both have as many, or one begins as the other is.
    """

    format: str
    rows_before: int
    rows_after: int
    columns: tuple[ColumnChange, ...]
    columns_equal: int
    aligned: bool


FileDiff = TableDiff | TensorsDiff
