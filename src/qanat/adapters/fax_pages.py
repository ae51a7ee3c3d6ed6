"""Pages of a fax: made of PDF, TIFF and PNG, written as Group-4 TIFF, and read again by who receives them.

Pillow with libtiff makes and reads the pages; PDF is drawn by PDFium, from the extra ``services``.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from qanat.adapters.files import check_is_file
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import make_private_folder
from qanat.ground.errors import BadParameter, ConfigurationError, PeerProtocolError

INSTALL = "install them: pip install 'qanat[services]'"
GREY_OF_16_BITS = 1 / 256
POINTS_PER_INCH = 72
PDF_BEGINS = b"%PDF-"
OPENED = "name a PDF, TIFF or PNG file that a viewer opens"


@contextlib.contextmanager
def pages_workplace(home: Path) -> Iterator[Path]:
    """Give a folder for the pages of one fax, for their owner alone (mode 0700); it goes when they are sent."""
    with machine_faults_named(home):
        make_private_folder(home)
        folder = Path(tempfile.mkdtemp(dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_pages(
    source: Path, target: Path, *, page_dots: tuple[int, int], dots_per_inch: tuple[int, int], most_pages: int
) -> int:
    """Write the pages of a PDF, TIFF or PNG as a Group-4 TIFF, and return how many they are.

    Each page is fitted into ``page_dots`` (across, down) on white, in its own proportions on paper, and greys become
    patterns of dots. Raises BadParameter for what is no page or has more than ``most_pages`` of them, and MachineFault.
    """
    check_is_file(source)
    with machine_faults_named(source):
        with source.open("rb") as file:
            beginning = file.read(1024)
        if PDF_BEGINS in beginning:
            begins_as_pdf = beginning.startswith(PDF_BEGINS)
            images = _pdf_pages(source, page_dots, dots_per_inch, most_pages, begins_as_pdf=begins_as_pdf)
        else:
            images = _image_pages(source, most_pages)
        num_pages = 0

        def pages() -> Iterator[Image.Image]:  # one after the other: a hundred pages would fill memory
            nonlocal num_pages
            for image in images:
                num_pages += 1
                yield _as_page(image, page_dots, dots_per_inch)

        drawn = pages()
        first = next(drawn)
    with machine_faults_named(target):
        first.save(target, format="TIFF", compression="group4", dpi=dots_per_inch, save_all=True, append_images=drawn)
    return num_pages


def count_pages(path: Path, *, page_dots: tuple[int, int], most_pages: int) -> int:
    """Read every page of a fax that came and return how many they are; raises PeerProtocolError for what is none."""
    remedy = "let the sender send it again by `qanat fax`"
    try:
        with warnings.catch_warnings(), Image.open(path, formats=("TIFF",)) as fax:
            warnings.simplefilter("error")
            num_pages = getattr(fax, "n_frames", 1)
            if num_pages > most_pages:
                raise PeerProtocolError(f"a fax of {num_pages} pages; this side takes {most_pages}", remedy=remedy)
            for page in ImageSequence.Iterator(fax):
                if page.info.get("compression") != "group4" or page.size != page_dots or page.mode != "1":
                    raise PeerProtocolError("what came is no fax of Group-4 pages", remedy=remedy)
                page.load()
    except (OSError, SyntaxError, ValueError, EOFError, Warning, Image.DecompressionBombError) as fault:
        raise PeerProtocolError(f"the pages that came cannot be read: {_short(fault)}", remedy=remedy) from None
    return num_pages


# --- inside ---


def _as_page(image: Image.Image, page_dots: tuple[int, int], dots_per_inch: tuple[int, int]) -> Image.Image:
    """Return an image as a page of dots: on white, fitted, and every grey as a pattern."""
    grey = _grey(image)
    across, down = _fitted(_inches(image), page_dots, dots_per_inch)
    page = Image.new("L", page_dots, 255)
    page.paste(grey.resize((across, down), Image.Resampling.LANCZOS), ((page_dots[0] - across) // 2, 0))
    return page.convert("1")


def _grey(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16 bits of grey, which would be cut off at 8 otherwise
        return upright.convert("I").point(lambda value: value * GREY_OF_16_BITS).convert("L")
    if upright.has_transparency_data:
        over = upright.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(white, over).convert("L")
    return upright.convert("L")


def _inches(image: Image.Image) -> tuple[float, float]:
    """Return width and height on paper in proportion: where it says nothing, its dots are squares."""
    x_dpi, y_dpi = (float(dots) for dots in image.info.get("dpi", (1, 1)))
    is_told = x_dpi > 0 and y_dpi > 0 and 1 / 4 <= x_dpi / y_dpi <= 4
    width, height = image.size
    return (width / x_dpi, height / y_dpi) if is_told else (width, height)


def _fitted(inches: tuple[float, float], page_dots: tuple[int, int], dots_per_inch: tuple[int, int]) -> tuple[int, int]:
    """Return the greatest size in dots, in proportion, that the page has room for."""
    dots = [inch * per_inch for inch, per_inch in zip(inches, dots_per_inch, strict=True)]
    scale = min(room / dot for room, dot in zip(page_dots, dots, strict=True))
    return max(1, round(dots[0] * scale)), max(1, round(dots[1] * scale))


def _image_pages(source: Path, most_pages: int) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings(), Image.open(source, formats=("TIFF", "PNG")) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            _check_number(getattr(image, "n_frames", 1) if image.format == "TIFF" else 1, source, most_pages)
            for page in ImageSequence.Iterator(image):
                page.load()
                yield page
                if image.format != "TIFF":
                    return
    except UnidentifiedImageError:
        raise _none(source) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BadParameter(f"{source} has a page of too many dots", remedy="make it smaller, then again") from None
    except (OSError, SyntaxError, ValueError, EOFError) as fault:
        raise BadParameter(f"{source} is damaged: {_short(fault)}", remedy=OPENED) from None


def _none(source: Path) -> BadParameter:
    return BadParameter(f"{source} is no PDF, TIFF or PNG: a fax is made of one of these", remedy=OPENED)


def _pdf_pages(
    source: Path,
    page_dots: tuple[int, int],
    dots_per_inch: tuple[int, int],
    most_pages: int,
    *,
    begins_as_pdf: bool,
) -> Iterator[Image.Image]:
    """Yield the pages of a PDF, as large as they are needed. What has the word of a PDF only further inside may be one
    too, or any text, such as a script that makes one."""
    pdfium = _pdfium()
    try:
        with contextlib.closing(pdfium.PdfDocument(source)) as document:
            _check_number(len(document), source, most_pages)
            for number in range(len(document)):
                page = document[number]
                width, height = page.get_size()
                dots = _fitted((width, height), page_dots, dots_per_inch)
                scale = max(dots[0] / width, dots[1] / height)
                yield page.render(scale=scale, grayscale=True, fill_color=(255, 255, 255, 255)).to_pil()
                page.close()
    except pdfium.PdfiumError as fault:
        if not begins_as_pdf:
            raise _none(source) from None
        raise BadParameter(
            f"{source} is no PDF that can be read: {_short(fault)}",
            remedy="name a PDF that a viewer opens without a password, or a TIFF or PNG",
        ) from None


def _pdfium() -> Any:
    try:
        return importlib.import_module("pypdfium2")
    except ImportError:
        raise ConfigurationError("PDF needs programs that are not installed here", remedy=INSTALL) from None


def _check_number(num_pages: int, source: Path, most_pages: int) -> None:
    if not 1 <= num_pages <= most_pages:
        raise BadParameter(
            f"{source} has {num_pages} pages; a fax has 1 to {most_pages}", remedy="send it in parts, or as a file"
        )


def _short(fault: BaseException) -> str:
    return " ".join(str(fault).split())[:120] or type(fault).__name__
