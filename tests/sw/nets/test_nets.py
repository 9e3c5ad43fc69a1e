"""Networks of the literature: shapes, numbers of weights, the same outputs once imported, weights from files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from headrace.errors import DataError

torch = pytest.importorskip("torch")

from headrace.data import FOLDER, embedded_digits  # noqa: E402
from headrace.data.samples import normalised, open_samples  # noqa: E402
from headrace.importers.torch import import_torch  # noqa: E402
from headrace.nets import NETS, build  # noqa: E402
from headrace.nets.weights import load  # noqa: E402

PARAMETERS = {
    "lenet300100": 266_610,
    "lenet5": 431_080,
    "resnet8": 78_186,
    "resnet20": 272_282,
    "resnet56": 855_578,
    "resnet110": 1_730_522,
    "vgg19": 38_947_914,
    "vgg19-mnist": 38_946_762,
    "dscnn": 22_604,
    "mobilenet": 210_850,
    "autoencoder": 265_864,
    "deepdta-drug": 81_984,
    "deepdta-protein": 101_824,
    "deepdta-head": 1_772_545,
    "matching": 28_064,
}
"""Published sizes, batch normalisations folded where the definition folds them; the fixed shortcuts count."""


def inputs(name: str):
    torch.manual_seed(0)
    shape = (2, *NETS[name].input_shape)
    return torch.randint(0, 25, shape) if name in ("deepdta-drug", "deepdta-protein") else torch.randn(shape)


@pytest.mark.parametrize("name", [name for name in NETS if not name.startswith("vgg")])
def test_shapes_and_import(name: str):
    torch.manual_seed(1)
    module, x = build(name), inputs(name)
    with torch.no_grad():
        y = module(x).numpy()
    assert y.shape == (2, *NETS[name].output_shape)
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[name]
    graph = import_torch(module, x[:1])
    assert np.abs(graph.run(x.numpy()) - y).max() <= 1e-5 * max(1.0, np.abs(y).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg19", "vgg19-mnist"])
def test_shapes_of_the_large_ones(name: str):
    module = build(name)
    with torch.no_grad():
        assert module(inputs(name)).shape == (2, 10)
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[name]


def test_shipped_lenet5():
    module = load("lenet5", FOLDER / "lenet5.npz")
    images, labels = embedded_digits()
    with torch.no_grad():
        y = module(torch.from_numpy(images[:, None].astype(np.float32) / 255))
    assert (y.argmax(1).numpy() == labels).mean() > 0.98


def test_checkpoint(tmp_path: Path):
    torch.manual_seed(2)
    module = build("resnet20")
    state = {f"module.{key}": value for key, value in module.state_dict().items() if "shortcut" not in key}
    torch.save({"state_dict": state, "best_prec1": 90.0}, tmp_path / "net.th")
    x = inputs("resnet20")
    with torch.no_grad():
        assert torch.equal(load("resnet20", tmp_path / "net.th")(x), module(x))
    with pytest.raises(DataError, match="another network's weights"):
        load("resnet56", tmp_path / "net.th")


def test_bad_files(tmp_path: Path):
    path = tmp_path / "a"
    for name in ("resnet20", "lenet5"):
        path.unlink(missing_ok=True)
        with pytest.raises(DataError):
            load(name, path)
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(DataError) as caught:
            load(name, path)
        assert "\n" not in str(caught.value)
    torch.save([1, 2], path)
    with pytest.raises(DataError, match="no checkpoint of tensors"):
        load("resnet20", path)
    with pytest.raises(DataError, match="no files of trained weights"):
        load("vgg19", path)
    with pytest.raises(DataError, match="no network 'alexnet'"):
        build("alexnet")


REAL = {
    "resnet8": ("HEADRACE_CIFAR10", "mlperf-tiny/pretrainedResnet.h5", "raw", 0.8719),
    "resnet20": ("HEADRACE_CIFAR10", "cifar10-resnet20/resnet20-12fca82f.th", "imagenet", 0.9173),
    "dscnn": ("HEADRACE_KWS01", "mlperf-tiny/kws_ref_model_float32.tflite", "mfcc", 0.901),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_published_accuracy(name: str):
    variable, file, normalisation, accuracy = REAL[name]
    if variable not in os.environ or "HEADRACE_MODELS" not in os.environ:
        pytest.skip(f"{variable} and HEADRACE_MODELS name no data and no folder of trained weights")
    module = load(name, Path(os.environ["HEADRACE_MODELS"]) / file)
    samples = open_samples(os.environ[variable])
    x = normalised(samples.inputs, normalisation).astype(np.float32)
    with torch.no_grad():
        y = np.concatenate([module(torch.from_numpy(x[i : i + 250])).argmax(1).numpy() for i in range(0, len(x), 250)])
    assert (y == samples.labels).mean() == pytest.approx(accuracy, abs=1e-9)
