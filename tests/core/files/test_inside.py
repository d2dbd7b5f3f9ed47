"""Paths that files bring along: what lies inside their folder, and what does not."""

import pytest

from dualpt.core.files.inside import PLAIN, tidied, why_outside


@pytest.mark.parametrize("path", ["a", "a/b.png", "a b/ç.json", "...", "ab:c", ".hidden", "a/..b/c"])
def test_what_lies_inside(path: str) -> None:
    assert why_outside(path) is None


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("~/x", "is absolute"),
        ("C:x", "is absolute"),
        ("C:/x", "is absolute"),
        ("..", "leads out"),
        ("a/../b", "leads out"),
        ("a/..", "leads out"),
        ("a//b", "empty component"),
        ("a/" * 512 + "b", "is longer than 1024 bytes"),
        ("a/", "empty component"),
        ("a/./b", "empty component"),
        ("a\\..\\b", "backslash"),
        ("a\nb", "control characters"),
        ("a\0b", "control characters"),
        ("ä" * 128, "255 bytes"),
    ],
)
def test_what_does_not(path: str, said: str) -> None:
    assert said in (why_outside(path) or "")


def test_tidied_paths_keep_what_they_say() -> None:
    assert [tidied(path) for path in ("./a//b/.", "/a//b", "", ".", "a/../b")] == ["a/b", "/a/b", "", "", "a/../b"]


def test_what_one_match_takes_is_what_the_rules_take() -> None:
    plain = ["a.jpg", "abbey/sun_a 1.jpg", "b-c/d+e,(f)&g'h/i@j#k%l.JPEG", "_/0"]
    assert all(PLAIN.fullmatch(path) for path in plain)
    assert all(tidied(path) == path for path in plain)
    others = ["", "/a", "a/", "a//b", "./a", "../a", "a/..", "a/.b", "~a", "C:/a", "a\\b", "a\nb", "ü.jpg", " a"]
    others += ["a" * 252, "b/" + "a" * 252]
    assert not any(PLAIN.fullmatch(path) for path in others)
