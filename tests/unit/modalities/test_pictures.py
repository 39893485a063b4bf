"""Pictures of every kind that people send, and those that are sent to do harm."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from feilun.errors import InvalidData
from feilun.modalities.image import decoding as pictures


def _file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _solid(color: object, mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new(mode, size, color)  # type: ignore[arg-type]


def _pixel(data: bytes) -> tuple[int, ...]:
    assert pictures.check(data, "image") == data
    image = pictures.decode(data)
    assert image.mode == "RGB"
    return tuple(np.asarray(image)[0, 0].tolist())


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_every_format_is_read(kind: str) -> None:
    pixel = np.array(_pixel(_file(_solid((200, 40, 90)), kind)))
    assert np.abs(pixel - (200, 40, 90)).max() <= 12  # JPEG and WebP lose a little


def test_colour_models_become_rgb() -> None:
    assert _pixel(_file(_solid(77, "L"))) == (77, 77, 77)
    assert _pixel(_file(_solid(1, "1"))) == (255, 255, 255)
    assert _pixel(_file(_solid((10, 20, 30)).quantize(4))) == (10, 20, 30)
    assert _pixel(_file(_solid((0, 255, 255, 0), "CMYK"), "TIFF")) == (255, 0, 0)
    red = _pixel(_file(_solid((0, 255, 255, 0), "CMYK"), "JPEG", quality=95))
    assert red[0] > 240
    assert max(red[1:]) < 20


def test_transparency_is_laid_on_white() -> None:
    assert _pixel(_file(_solid((255, 0, 0, 0), "RGBA"))) == (255, 255, 255)
    assert _pixel(_file(_solid((0, 0, 0, 51), "RGBA"))) == (204, 204, 204)
    assert _pixel(_file(_solid((0, 0), "LA"))) == (255, 255, 255)
    palette = _solid(0, "P")
    palette.putpalette([9, 9, 9] * 256)
    assert _pixel(_file(palette, transparency=0)) == (255, 255, 255)
    assert _pixel(_file(_solid((5, 6, 7)), transparency=(5, 6, 7))) == (255, 255, 255)


def test_deep_values_are_scaled() -> None:
    sixteen = Image.fromarray(np.full((4, 4), 257 * 100, np.uint16))
    assert _pixel(_file(sixteen)) == (100, 100, 100)
    assert _pixel(_file(sixteen, "TIFF")) == (100, 100, 100)
    share = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    assert _pixel(_file(share, "TIFF")) == (128, 128, 128)
    large = Image.fromarray(np.array([[200.0, np.nan], [300, -5]], np.float32))
    assert np.asarray(pictures.decode(_file(large, "TIFF")))[..., 0].tolist() == [
        [200, 0],
        [255, 0],
    ]


def test_the_first_frame_counts() -> None:
    frames = [_solid((250, 0, 0)), _solid((0, 250, 0))]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        data = _file(frames[0], kind, save_all=True, append_images=frames[1:])
        assert _pixel(data)[0] > 200, kind


def test_photos_stand_upright() -> None:
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    data = _file(Image.fromarray(picture), "JPEG", exif=exif.tobytes(), quality=95)
    upright = np.asarray(pictures.decode(data))
    assert upright.shape == (8, 4, 3)
    assert upright[0, 0, 0] > 200
    assert upright[-1, 0, 0] < 50


def test_grey_on_request() -> None:
    assert pictures.decode(_file(_solid((255, 255, 255))), grey=True).mode == "L"


def _code(data: object) -> str:
    with pytest.raises(InvalidData) as caught:
        pictures.check(data, "image")  # type: ignore[arg-type]
    assert str(caught.value)
    return caught.value.code


def test_what_is_no_picture_is_refused() -> None:
    assert _code(b"") == "tasks.not_an_image"
    assert _code(b"name,price\nspoon,3\n") == "tasks.not_an_image"
    assert _code("cat.png") == "tasks.no_image_bytes"
    assert _code(None) == "tasks.no_image_bytes"
    assert _code({"picture": b""}) == "tasks.wrong_columns"
    assert _code(b"PK\3\4 ...") == "tasks.not_an_image"


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_truncated_files_are_refused(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = _file(Image.fromarray(noise), kind)
    for part in (len(data) // 2, len(data) * 9 // 10):
        assert _code(data[:part]) in {"tasks.damaged_image", "tasks.not_an_image"}


def test_damage_never_raises_anything_else() -> None:
    generator = np.random.default_rng(1)
    noise = generator.integers(0, 255, (24, 24, 3), np.uint8)
    for kind in pictures.FORMATS:
        whole = _file(Image.fromarray(noise), kind)
        for _ in range(60):
            data = bytearray(whole)
            for place in generator.integers(0, min(len(data), 120), 3):
                data[place] = generator.integers(256)
            try:
                pictures.check(bytes(data), "image")
                pictures.decode(bytes(data))
            except InvalidData:
                pass


def _png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side // 8 + 1)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    return start + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _gif(side: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    return screen + b"\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00;"


def _bmp(side: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 104, 0, 0, 54) + info + bytes(50)


def _jpeg(side: int) -> bytes:
    data = bytearray(_file(_solid((1, 2, 3)), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", side, side)
    return bytes(data)


@pytest.mark.parametrize("side", [7_500, 12_000, 30_000])
@pytest.mark.parametrize("make", [_png, _gif, _bmp, _jpeg])
def test_too_many_pixels_are_refused(make: Callable[[int], bytes], side: int) -> None:
    """Also where Pillow itself would only warn (89 to 179 million), or not at all."""
    assert _code(make(side)) == "tasks.too_many_pixels"


def test_an_image_bomb_costs_no_memory() -> None:
    """A valid PNG of 30,000 x 30,000 pixels in 110 kB would be 2.7 GB as RGB."""
    script = """
        import io, resource, sys
        from PIL import Image
        from feilun.errors import InvalidData
        from feilun.modalities.image import decoding as pictures

        data = sys.stdin.buffer.read()
        Image.init()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for use in (lambda: pictures.check(data, "image"), lambda: pictures.decode(data)):
            try:
                use()
            except InvalidData as error:
                assert error.code == "tasks.too_many_pixels", error
            else:
                raise SystemExit("not refused")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    bomb = _png(30_000)
    assert len(bomb) < 200_000
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        input=bomb,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000  # kilobytes


def test_a_large_jpeg_is_decoded_at_a_part_of_its_size_and_looks_the_same() -> None:
    draw = np.random.default_rng(3)
    coarse = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
    data = _file(photo, "JPEG", quality=90)
    assert pictures.decode(data).size == (640, 480)
    small = pictures.decode(data, least=100)
    assert small.size == (160, 120)
    whole = np.asarray(pictures.decode(data).resize((50, 50), resample=2)).astype(int)
    assert np.abs(np.asarray(small.resize((50, 50), resample=2)).astype(int) - whole).max() <= 3
    # Small ones, and formats that cannot, are decoded as they are.
    assert pictures.decode(data, least=400).size == (640, 480)
    assert pictures.decode(_file(photo), least=100).size == (640, 480)


def test_what_decoding_refuses_is_accepted_before() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = _file(Image.fromarray(noise), "JPEG")
    broken = data[: len(data) // 2]
    assert pictures.accept(broken, "image") == broken
    for refuse in (pictures.check, pictures.decode):
        with pytest.raises(InvalidData) as caught:
            refuse(broken, *(["image"] if refuse is pictures.check else []))  # type: ignore[operator]
        assert caught.value.code == "tasks.damaged_image"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )  # fmt: skip


def _with(data: bytes, *chunks: bytes, at_end: bool = False) -> bytes:
    place = len(data) - 12 if at_end else 33
    return data[:place] + b"".join(chunks) + data[place:]


_LONG = b"prompt, " * 250_000
_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize(
    "chunk",
    [
        _chunk(b"tEXt", b"parameters\0" + _LONG),
        _chunk(b"zTXt", b"parameters\0\0" + zlib.compress(_LONG * 40, 1)),
        _chunk(b"iTXt", b"parameters\0\0\0\0\0" + _LONG),
        _chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(_LONG)),
        _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(_XMP + b" " * 3_000_000)),
        _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib"),
        _chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"0" * 3_000_000)),
        _chunk(b"iCCP", b"ICC\0\0" + zlib.compress(bytes(3_000_000))),
    ],
    ids=["text", "packed", "international", "packed-2", "xmp", "broken", "exif", "profile"],
)
def test_long_texts_and_profiles_are_left_out(chunk: bytes, at_end: bool) -> None:
    plain = _file(_solid((200, 40, 90), size=(16, 4)))
    assert _pixel(_with(plain, chunk, at_end=at_end)) == (200, 40, 90)
    many = _with(plain, *[chunk] * 3, at_end=at_end)
    assert pictures.decode(many).size == (16, 4)


def test_a_short_text_may_say_which_way_is_up() -> None:
    plain = _file(_solid((1, 2, 3), size=(16, 4)))
    upright = [
        _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + _XMP),
        _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(_XMP)),
    ]
    for chunk in upright:
        assert pictures.decode(_with(plain, chunk)).size == (4, 16)
        long = _chunk(b"tEXt", b"parameters\0" + _LONG)
        assert pictures.decode(_with(plain, long, chunk)).size == (4, 16)


def test_phones_and_printers() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    left, right = _solid((200, 40, 90), size=(16, 4)), _solid((0, 0, 0), size=(16, 4))
    pair = _file(left, "MPO", save_all=True, append_images=[right], exif=exif)
    assert pictures.decode(pair).size == (4, 16), "the first of two, upright"
    assert np.abs(np.array(_pixel(pair)) - (200, 40, 90)).max() <= 6
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        assert pictures.decode(_file(left, kind, exif=exif)).size == (4, 16), kind
    profile = _file(_solid((0, 255, 255, 0), "CMYK"), "JPEG", icc_profile=bytes(900_000))
    assert _pixel(profile)[0] > 240
    deep = _chunk(b"tEXt", b"Comment\0" + _LONG)
    grey = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    assert _pixel(_with(_file(grey), deep)) == (156, 156, 156)
    moving = _file(left, "GIF", save_all=True, append_images=[right])
    assert _pixel(moving) == (200, 40, 90)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90), "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(90), "HEIC"),
        (_file(_solid((1, 2, 3)), "AVIF"), "AVIF"),
        (_file(_solid((1, 2, 3)), "JPEG2000"), "JPEG 2000"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"8BPS\0\1", "Photoshop"),
    ],
)
def test_formats_that_people_have_and_that_are_not_read_are_named(data: bytes, kind: str) -> None:
    for look in (pictures.decode, lambda value: pictures.check(value, "image")):
        with pytest.raises(InvalidData) as caught:
            look(data)
        assert caught.value.code == "tasks.unread_image"
        assert kind in caught.value.message()
        assert "JPEG" in caught.value.hint()
