"""Evaluation data from every kind of file, against the libraries that wrote it; what is no data is refused with the reason."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stannary.checks.target.data import Dataset, open_data
from stannary.checks.target.data_table import groups_of
from stannary.checks.target.domain_infer import infer_domain
from stannary.core.errors import InputError, UsageError

FRAME = pd.DataFrame(
    {
        "age": [25, 40, 31, 58, 22, 47],
        "income": [1.5, 2.25, -3, 1e5, 0.1, 7],
        "job": ["clerk", "cook", "clerk", "baker, senior", "cook", "clerk"],
        "default": ["no", "yes", "no", "yes", "no", "yes"],
    }
)


def idx(array):
    codes = {"uint8": 8, "float32": 13}
    head = bytes((0, 0, codes[array.dtype.name], array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def right(data: Dataset) -> None:
    assert data.names == ("age", "income", "job=baker, senior", "job=clerk", "job=cook")
    assert data.x.dtype == torch.float64
    assert data.x[:, 0].tolist() == FRAME["age"].tolist()
    assert data.x[:, 1].tolist() == FRAME["income"].tolist()
    assert torch.equal(data.x[:, 2:].sum(1), torch.ones(6, dtype=torch.float64))
    assert data.y.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.label_names == ("no", "yes")
    pd.testing.assert_frame_equal(data.frame(data.x), FRAME.drop(columns="default").astype({"age": float}), check_dtype=False)


@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_text_tables(tmp_path, mark) -> None:
    path = tmp_path / "a.dat"
    FRAME.to_csv(path, sep=mark, index=False)
    right(open_data(path))
    (tmp_path / "b").write_bytes(gzip.compress(path.read_bytes()))
    right(open_data(tmp_path / "b"))


def test_parquet_is_known_by_its_content(tmp_path) -> None:
    path = tmp_path / "a.csv"
    FRAME.astype({"job": "category"}).to_parquet(path)
    right(open_data(path))


def test_the_label_column_may_be_any(tmp_path) -> None:
    path = tmp_path / "a.csv"
    FRAME[["default", "age", "income", "job"]].to_csv(path, index=False)
    right(open_data(path, target="default"))
    with pytest.raises(InputError, match="no column 'defualt'"):
        open_data(path, target="defualt")


def test_words_as_ordinals_and_a_domain_of_them(tmp_path) -> None:
    path = tmp_path / "a.csv"
    FRAME.to_csv(path, index=False)
    data = open_data(path, encode="ordinal")
    assert data.x[:, 2].tolist() == [1, 2, 1, 0, 2, 1]
    assert data.frame(data.x)["job"].tolist() == FRAME["job"].tolist()
    hot = open_data(path)
    domain = infer_domain(hot.x, hot.names, groups=groups_of(hot.encodings))
    assert domain.groups[0].name == "job"
    moved = domain.project(hot.x + torch.tensor([0.4, 0.1, 3.0, 0, 0], dtype=torch.float64), hot.x)
    assert set(hot.frame(moved)["job"]) == {"baker, senior"}


def test_a_table_without_names(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,2,0\n3,4,1\n5,6,1\n")
    data = open_data(path)
    assert data.names == ("x0", "x1")
    assert data.x.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_missing_values_are_counted_or_refused(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,y\n1,x,0\n,x,1\n2,,0\n3,z,1\ninf,z,1\n4,x,0\n5,z,\n")
    data = open_data(path)
    assert (len(data), data.dropped, data.rows.tolist()) == (3, 4, [0, 3, 5])
    with pytest.raises(InputError, match=r"4 of 7 rows.*column 'a', row 2"):
        open_data(path, missing="refuse")


def test_mnist_files_with_their_labels_beside_them(tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 5, 4), dtype=np.uint8)
    labels = (np.arange(20) % 10).astype(np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images[:3]))
    data = open_data(tmp_path)
    assert data.kind == "image"
    assert data.shape == (1, 5, 4)
    assert data.x.dtype == torch.float32
    assert np.array_equal(data.x[:, 0].numpy(), images.astype(np.float32) / 255)
    assert data.y.tolist() == labels.tolist()
    assert open_data(tmp_path / "t10k-images-idx3-ubyte.gz").digest == data.digest
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels[::-1].copy()))
    assert open_data(tmp_path).digest != data.digest, "labels are part of what the data is"


def test_arrays(tmp_path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 3)).astype(np.float32), rng.integers(0, 2, 10)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    np.savez_compressed(tmp_path / "both.npz", x=x, y=y)
    np.save(tmp_path / "one.npy", np.column_stack([x, y]))
    for data in (
        open_data(tmp_path / "x.npy", labels=tmp_path / "y.npy"),
        open_data(tmp_path / "both.npz"),
        open_data(tmp_path / "one.npy"),
    ):
        assert np.array_equal(data.x.numpy(), x.astype(np.float64))
        assert data.y.tolist() == y.tolist()
        assert data.kind == "table"
    pictures = rng.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "pictures.npz", images=pictures, labels=np.array(["a", "b"] * 3))
    data = open_data(tmp_path / "pictures.npz")
    assert data.shape == (3, 4, 5)
    assert np.allclose(data.x.numpy(), pictures.transpose(0, 3, 1, 2) / 255)
    assert data.label_names == ("a", "b")


def test_folders_of_pictures(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for at in range(3):
            Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)).save(tmp_path / label / f"{at}.png")
    data = open_data(tmp_path)
    assert data.shape == (3, 6, 7)
    assert data.label_names == ("cat", "dog")
    assert np.allclose(data.x[0].numpy() * 255, np.asarray(Image.open(tmp_path / "cat" / "0.png")).transpose(2, 0, 1))
    Image.fromarray(np.zeros((3, 3), dtype=np.uint8)).save(tmp_path / "dog" / "9.png")
    with pytest.raises(InputError, match="differ in size"):
        open_data(tmp_path)
    (tmp_path / "dog" / "9.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="no picture"):
        open_data(tmp_path)


class Payload:
    def __reduce__(self):
        return print, ("run",)


def test_arrays_of_objects_are_never_loaded(tmp_path, capsys) -> None:
    array = np.empty((2, 2), dtype=object)
    array[:] = Payload()
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match="can run code"):
        open_data(tmp_path / "x.npy")
    assert "run" not in capsys.readouterr().out


HUGE = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000, 9), }".ljust(117) + b"\n"


@pytest.mark.parametrize(
    "content,reason",
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"a\n1\n", "two columns"),
        (b"a,b\n1,2\n1,2,3\n", "row 3 has 3 columns"),
        (b"a,a\n1,2\n", "two columns 'a'"),
        (b"a,b\n1,0\n2,0\n", "one class only"),
        (b"a,b\n" + b"".join(b"%d,%f\n" % (n, n / 7) for n in range(100)), "no classes"),
        (b"a,b\nx,0\n,1\n" * 1, "one class only"),
        (b"a,b\n,0\n,1\n", "every row"),
        (b"id,b\n" + b"".join(b"n%d,%d\n" % (n, n % 2) for n in range(1500)), "different words"),
        (b"\xff\xfe\xfd", "no data that is read here"),
        (b"a,b\n\0,1", "zero bytes"),
        (b"\x1f\x8b\x08broken", "gzip"),
        (b"PAR1 nothing", "Parquet"),
        (b"PK\x03\x04 nothing", "archive"),
        (b"\x93NUMPY\x01\x00", "array cannot be read"),
        (HUGE, "more than"),
        (bytes((0, 0, 8, 3)) + struct.pack(">3I", 1 << 30, 28, 28) + b"x", "header says"),
        (bytes((0, 0, 8, 1)) + struct.pack(">I", 3) + b"abc", "labels, not inputs"),
    ],
)
def test_what_is_no_data_is_refused_with_the_reason(tmp_path, content, reason) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        open_data(path, most_bytes=1 << 30)
    assert str(path) in str(caught.value)


def test_too_large_and_not_there(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,0\n2,1\n")
    with pytest.raises(InputError, match="more than are read"):
        open_data(tmp_path / "a.csv", most_bytes=5)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,0\n" * 100_000))
    with pytest.raises(InputError, match="unpacked"):
        open_data(tmp_path / "a.csv.gz", most_bytes=100_000)
    with pytest.raises(UsageError, match="No such file"):
        open_data(tmp_path / "none.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="empty"):
        open_data(tmp_path / "folder")


def many(counts):
    y = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    return Dataset(torch.arange(len(y)).double()[:, None], y, ("a",), "sha256:0", tuple(map(str, range(len(counts)))))


def test_samples_are_the_seeds_and_keep_the_shares() -> None:
    data = many([700, 250, 49, 1])
    first, again, other = data.sample(100, 7), data.sample(100, 7), data.sample(100, 8)
    assert torch.equal(first.rows, again.rows)
    assert not torch.equal(first.rows.sort().values, other.rows.sort().values)
    assert torch.bincount(first.y).tolist() in ([69, 25, 5, 1], [70, 24, 5, 1], [70, 25, 4, 1])
    assert len(set(first.rows.tolist())) == 100
    assert torch.equal(first.x[:, 0].long(), first.rows)
    assert sorted(data.sample(5000, 1).rows.tolist()) == list(range(1000))
    assert (first.y[:20] != first.y[0]).any(), "classes are mixed: a run that stops early has seen all"
    for n in range(1, 30):
        assert len(data.sample(n, 0)) == n
    with pytest.raises(UsageError):
        data.sample(0, 1)


def test_labels_are_numbered_as_the_model_does() -> None:
    x = torch.zeros(4, 1, dtype=torch.float64)
    data = Dataset(x, torch.tensor([0, 1, 1, 0]), ("a",), "sha256:0", ("bad", "good"))
    assert data.aligned(3, ("good", "odd", "bad")).y.tolist() == [2, 0, 0, 2]
    assert data.aligned(2).y.tolist() == [0, 1, 1, 0]
    with pytest.raises(InputError, match="does not know"):
        data.aligned(2, ("fine", "good"))
    digits = Dataset(x, torch.tensor([0, 1, 1, 0]), ("a",), "sha256:0", ("3", "7"))
    assert digits.aligned(10).y.tolist() == [3, 7, 7, 3]
    assert digits.aligned(2, ("3.0", "7.0")).y.tolist() == [0, 1, 1, 0]
    assert digits.aligned(2).y.tolist() == [0, 1, 1, 0]
    with pytest.raises(InputError, match="5 outputs"):
        data.aligned(5)


def test_a_file_that_holds_each_sample_several_times_is_no_larger_one() -> None:
    data = many([30, 20])
    assert data.repeats() == ""
    thrice = data.take(torch.arange(50).repeat(3))
    assert "50 different samples, and 150 in all" in thrice.repeats()
    assert "50 different samples" in data.take(torch.cat((torch.arange(50).repeat(2), torch.tensor([1])))).repeats()
    few = Dataset(torch.randint(0, 6, (400, 3)).double(), torch.zeros(400, dtype=torch.int64), ("a", "b", "c"), "sha256:0", ("0",))
    assert few.repeats() == ""  # rows of few columns fall together by chance
