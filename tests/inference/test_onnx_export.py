"""The detector as ONNX gives what the exported model gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from moving_shapes import draw_video
from torch.nn import functional as F

from maskprop_d2.commands.export import main
from maskprop_d2.inference.exported import ExportedNetwork
from maskprop_d2.inference.onnx_export import OUTPUTS, export_onnx

TINY = Path(__file__).parents[2] / "demo/maskprop_tiny.pt"
pytest.importorskip("onnx", reason="needs onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    main(["--onnx", str(TINY), "--output", str(path)])
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("size", [(128, 192), (131, 171), (192, 128), (97, 200)])
def test_detections_are_equal(session, size):
    network = ExportedNetwork(TINY, device="cpu")
    frames = draw_video(np.random.default_rng(5), *size, 3, level="plain")[0]
    # Without an object.
    frames[-1] = np.full_like(frames[0], 110)
    numbers = []
    for frame in torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).split(1):
        images, resized = network.frame_settings.prepare(frame)
        with torch.inference_mode():
            pyramid = network.pyramid(images)
            (expected,) = network.find_objects(pyramid, resized)
        numbers.append(len(expected.scores))
        image = F.interpolate(frame.float(), resized, mode="bilinear", antialias=True)
        found = session.run(list(OUTPUTS), {"frame": image.numpy()})
        for value, truth in zip(found, (*expected, pyramid["p2"]), strict=True):
            torch.testing.assert_close(torch.from_numpy(value), truth, rtol=1e-4, atol=1e-4)
    assert numbers[0] and not numbers[-1]


def test_bad_input(tmp_path, capsys):
    for arguments, message in (
        (["--onnx", str(TINY), "--half"], "takes an exported model as it is"),
        (["--config-file", "c.yaml"], "--config-file needs --weights"),
        (["--onnx", str(tmp_path)], "is not an exported model"),
    ):
        with pytest.raises(SystemExit) as end:
            main([*arguments, "--output", str(tmp_path / "m.onnx")])
        assert end.value.code == 2 and message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--onnx", str(TINY), "--output", str(tmp_path / "m.pt")])
    assert "ends in .onnx" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_that_exists_is_replaced(tmp_path):
    (tmp_path / "m.onnx").touch()
    export_onnx(TINY, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").stat().st_size > 10**7
