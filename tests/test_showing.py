"""`mbtest show`: the run that is meant, its story or its packets, and what is not there."""

from pathlib import Path

import pytest

from mbtest.errors import UsageError
from mbtest.results import Verdict
from mbtest.showing import show
from tests.observe.conversation import Talk
from tests.stored import captured, directory, entry
from tests.test_cli import mbtest, one_line


def stored(folder: Path, *numbers: int) -> Path:
    capture = captured(Talk().established().close())
    return directory(folder, *(entry(number) for number in numbers), capture=capture)


def test_a_run_is_shown_by_its_id_or_a_part_of_it(tmp_path, capsys):
    folder = stored(tmp_path, 1, 10, 2)
    for wanted, number in (("claim-2", 2), (entry(1).id, 1), ("claim-10/", 10)):
        show(folder, wanted)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == entry(number).id
        assert any("SYN 198.18.1.2:40000" in line for line in lines)


def test_packets_are_shown_where_they_are_asked_for(tmp_path, capsys):
    folder = stored(tmp_path, 1)
    show(folder, "topic", packets=True)
    lines = capsys.readouterr().out.splitlines()
    assert any("c1-s1/client in  -> SYN seq 0 window 65535 length 0" in line for line in lines)
    assert lines[-2:] == [f"capture: {folder / 'run.pcapng'}", "repeat:  mbtest run topic.claim"]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("nothing", "no run 'nothing' in"),
        (
            "topic",
            "'topic' is part of 6 runs; name one: topic.claim-0/linux-linux/v4/to_server/no-checksum, ",
        ),
    ],
)
def test_no_run_and_several_are_told(tmp_path, wanted, says):
    with pytest.raises(UsageError) as error:
        show(stored(tmp_path, *range(6)), wanted)
    assert str(error.value).startswith(says)
    assert str(error.value).endswith(", ...") is (wanted == "topic")


@pytest.mark.parametrize("packets", [[], ["--packets"]])
def test_what_is_not_there_ends_in_a_line_and_status_4(tmp_path, packets):
    folder = stored(tmp_path, 1)
    words = ["show", "topic", "--dir", folder, *packets]
    assert mbtest(*words, cwd=tmp_path).returncode == 0
    (folder / "run.pcapng").write_bytes(b"something else")
    assert "not a whole pcapng file" in one_line(mbtest(*words, cwd=tmp_path))
    (folder / "run.pcapng").unlink()
    assert "the capture is not there; it was moved or deleted" in one_line(mbtest(*words, cwd=tmp_path))
    (folder / "result.json").unlink()
    assert "no result.json here" in one_line(mbtest(*words, cwd=tmp_path))


@pytest.mark.parametrize("packets", [False, True])
def test_a_run_without_a_capture_is_shown(tmp_path, capsys, packets):
    folder = directory(tmp_path, entry(verdict=Verdict.HARNESS_ERROR, outcome=None, artifacts={}))
    show(folder, "topic", packets=packets)
    assert "no packets were captured" in capsys.readouterr().out


@pytest.mark.parametrize("packets", [False, True])
def test_words_from_packets_are_no_markup(tmp_path, capsys, packets):
    capture = captured(Talk().established())
    capture.annotate(1, "lost by the link [red]loud[/red]")
    show(directory(tmp_path, entry(title="[bold]It[/bold]"), capture=capture), "topic", packets=packets)
    shown = capsys.readouterr().out
    assert "[red]loud[/red]" in shown
    assert "[bold]It[/bold]" in shown
