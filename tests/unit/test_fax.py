"""Faxes: what can be a page becomes one, the recipient reads it before it confirms, and what is none is refused."""

from __future__ import annotations

import asyncio
import importlib
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont, TiffImagePlugin

from qanat.adapters import fax_pages
from qanat.adapters.fax_pages import count_pages, write_pages
from qanat.adapters.outgoing import OutgoingFile
from qanat.ground.errors import BadParameter, ConfigurationError, PeerProtocolError
from qanat.services.conversation import RefusedByPeer, calling
from qanat.services.fax import DOTS_PER_INCH, MOST_PAGES, PAGE_DOTS, SERVICE, ArrivedFax
from qanat.services.file_delivery import deliver_file
from service_support import House, sae_of

COMPRESSION_TAG, GROUP_4 = 259, 4
X_RESOLUTION_TAG, Y_RESOLUTION_TAG = 282, 283


def drawn(text: str, *, size: tuple[int, int] = (595, 842), mode: str = "L") -> Image.Image:
    page = Image.new(mode, size, "white")
    ImageDraw.Draw(page).text((40, 40), text, fill="black", font=ImageFont.load_default(60))
    return page


def faxed(source: Path, target: Path) -> int:
    return write_pages(source, target, page_dots=PAGE_DOTS, dots_per_inch=DOTS_PER_INCH, most_pages=MOST_PAGES)


def counted(path: Path) -> int:
    return count_pages(path, page_dots=PAGE_DOTS, most_pages=MOST_PAGES)


def test_each_kind_of_document_becomes_group_4_pages_of_fax_resolution(tmp_path: Path) -> None:
    pages = [drawn(f"page {number}") for number in range(3)]
    pages[0].save(tmp_path / "a.pdf", save_all=True, append_images=pages[1:])
    pages = [drawn(f"page {number}") for number in range(3)]  # a picture remembers how it was saved before
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "a.png")
    for name, expected in (("a.pdf", 3), ("a.tif", 3), ("a.png", 1)):
        target = tmp_path / f"{name}.tiff"
        assert faxed(tmp_path / name, target) == expected == counted(target)
        with Image.open(target) as fax:
            assert isinstance(fax, TiffImagePlugin.TiffImageFile)
            for number in range(expected):
                fax.seek(number)
                assert fax.tag_v2[COMPRESSION_TAG] == GROUP_4
                assert (fax.tag_v2[X_RESOLUTION_TAG], fax.tag_v2[Y_RESOLUTION_TAG]) == DOTS_PER_INCH
                assert (fax.size, fax.mode) == (PAGE_DOTS, "1")
                sheet = fax.convert("L").crop((23, 0, 1705, 2287))  # A4 is 5 mm narrower than the line of T.4
                small = sheet.resize((595, 842))
                apart = ImageChops.difference(small, pages[number]).resize((60, 84), Image.Resampling.BOX)
                assert max(apart.tobytes()) < 100, "the page does not show what was drawn on it"


def test_a_square_stays_a_square_on_paper(tmp_path: Path) -> None:
    Image.new("L", (100, 100), 0).save(tmp_path / "square.png")
    faxed(tmp_path / "square.png", tmp_path / "square.tiff")
    with Image.open(tmp_path / "square.tiff") as fax:
        box = ImageChops.invert(fax.convert("L")).getbbox()
    assert box is not None
    across, down = box[2] - box[0], box[3] - box[1]
    assert across / DOTS_PER_INCH[0] == pytest.approx(down / DOTS_PER_INCH[1], rel=0.01)


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_kind_of_picture_shows_its_halves(tmp_path: Path, mode: str) -> None:
    grey = Image.new("L", (64, 64), 255)
    grey.paste(0, (0, 0, 32, 64))
    if mode == "I;16":
        picture = Image.frombytes(
            "I;16", grey.size, b"".join(struct.pack("<H", value * 257) for value in grey.tobytes())
        )
    elif mode in ("RGBA", "LA"):  # black everywhere, and the right half transparent: paper shows through
        picture = Image.new("L", (64, 64), 0).convert(mode)
        picture.putalpha(ImageChops.invert(grey))
    else:
        picture = grey.convert(mode)
    picture.save(tmp_path / "a.png")
    faxed(tmp_path / "a.png", tmp_path / "a.tiff")
    with Image.open(tmp_path / "a.tiff") as fax:
        assert [fax.getpixel((x, 500)) for x in (100, 1600)] == [0, 255]


def huge_png() -> bytes:
    """Return a PNG that claims 60,000 x 60,000 dots."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_what_is_no_page_is_refused_with_its_name_and_a_remedy(tmp_path: Path) -> None:
    drawn("whole").save(tmp_path / "whole.png")
    bad = {
        "letter.docx": (b"PK\x03\x04 not a page", "no PDF, TIFF or PNG"),
        "empty.png": (b"", "no PDF, TIFF or PNG"),
        "broken.pdf": (b"%PDF-1.7\nnothing", "no PDF that can be read.*or a TIFF or PNG"),
        "script.sh": (
            b"#!/bin/sh\nprintf '%PDF-1.7\\n' > made.pdf\n",
            "no PDF, TIFF or PNG: a fax is made of one of these",
        ),
        "cut.png": ((tmp_path / "whole.png").read_bytes()[:200], "damaged"),
        "huge.png": (huge_png(), "too many dots"),
    }
    for name, (content, words) in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadParameter, match=words) as caught:
            faxed(tmp_path / name, tmp_path / "out.tiff")
        assert name in caught.value.message
        assert caught.value.remedy
    with pytest.raises(ConfigurationError, match=r"gone\.png"):
        faxed(tmp_path / "gone.png", tmp_path / "out.tiff")
    pages = [Image.new("1", (8, 8)) for _ in range(3)]
    pages[0].save(tmp_path / "long.tiff", save_all=True, append_images=pages[1:])
    with pytest.raises(BadParameter, match="3 pages"):
        write_pages(
            tmp_path / "long.tiff", tmp_path / "o", page_dots=PAGE_DOTS, dots_per_inch=DOTS_PER_INCH, most_pages=2
        )


def test_without_the_extra_a_pdf_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")

    def nothing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(fax_pages, "importlib", type("Loader", (), {"import_module": staticmethod(nothing)}))
    with pytest.raises(ConfigurationError, match=r"qanat\[services\]"):
        faxed(tmp_path / "a.pdf", tmp_path / "a.tiff")
    assert importlib.import_module("pypdfium2")


def test_what_comes_as_a_fax_and_is_none_is_refused(tmp_path: Path) -> None:
    drawn("x").save(tmp_path / "grey.tiff")
    Image.new("1", (100, 100)).save(tmp_path / "small.tiff", compression="group4")
    Image.new("1", PAGE_DOTS, 1).save(tmp_path / "fax.tiff", compression="group4")
    assert counted(tmp_path / "fax.tiff") == 1
    (tmp_path / "text.tiff").write_bytes(b"no picture")
    for name in ("grey", "small", "text"):
        with pytest.raises(PeerProtocolError):
            counted(tmp_path / f"{name}.tiff")


def test_a_fax_is_delivered_and_reported_and_nothing_of_it_stays_with_the_sender(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path)
        pages = [drawn(f"page {number}") for number in range(2)]
        pages[0].save(tmp_path / "letter.pdf", save_all=True, append_images=pages[1:])
        came: list[ArrivedFax] = []
        async with house.user("alice") as alice, house.reception("bob") as bob:
            bob._listeners = type(bob._listeners)(on_fax=came.append)
            (report,) = await alice.fax(tmp_path / "letter.pdf", "bob")
            assert (report.recipient, report.name, report.num_pages) == ("bob", "letter.tiff", 2)
            assert counted(house.folder("bob") / report.name) == 2
            assert [(fax.num_pages, fax.sha256, fax.sender) for fax in came] == [(2, report.sha256, sae_of("alice"))]
            assert list((tmp_path / "users" / "alice" / "faxes").iterdir()) == []
            with pytest.raises(BadParameter):
                await alice.fax(Path(__file__), "bob")

    asyncio.run(run())


def test_a_file_that_is_sent_as_a_fax_and_is_none_is_refused_and_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path)
        (tmp_path / "virus.tiff").write_bytes(b"not a page" * 100)
        async with house.user("alice") as alice, house.reception("bob"):
            contact = alice.people.contact_of(sae_of("bob"))
            notes = tmp_path / "notes"
            async with alice.line_to(contact, alice.terms) as line:
                talk = calling(alice.party, line, contact.sae, service=SERVICE, terms=alice.terms)
                with (
                    OutgoingFile(
                        tmp_path / "virus.tiff", name="virus.tiff", recipient=contact.sae, notes=notes
                    ) as outgoing,
                    pytest.raises(RefusedByPeer, match="cannot be read"),
                ):
                    await deliver_file(talk, outgoing)
            assert house.came("bob") == []
            await house.fault("bob")

    asyncio.run(run())
