"""Bytes of a picture to pixels: (height, width, channels) uint8, the right way up.

The header is read first, so that a picture beyond the pixel limit is never decoded. JPEGs go through simplejpeg, which
is faster than Pillow and refuses more damage, and are decoded at a fraction of their size where that suffices.
"""

import io
import os
import stat
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

__all__ = ["FORMATS", "STARTS", "SUFFIXES", "Unreadable", "contents", "decode", "fit_square", "png"]

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")  # of most of their files
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
PIXELS = 64_000_000  # largest picture that is decoded (data.pixels)
BYTES = 32 << 20  # of a file that is read without a look at how many its pixels could need
SMALLEST = 2  # sides below this show nothing
# What EXIF's orientation asks for: flip left to right, then so many quarter turns against the clock.
TURNS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)}


class Unreadable(Exception):
    """Why a picture cannot be read; caught by the field, which knows the row."""


def decode(data: bytes, *, channels: int | None = None, least: int = 0, pixels: int = PIXELS) -> np.ndarray:
    """The picture in these bytes.

    channels: 1 is grey, 3 is colour (transparency over white), 4 keeps transparency; None takes 1 or 3 as it comes.
    least: a JPEG may be decoded smaller, as long as both sides keep that many pixels.
    Raises: Unreadable, with the reason.
    """
    if not data:
        raise Unreadable("the file is empty (0 bytes)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is refused below
        try:
            return _decode(data, channels, least, pixels)
        except Unreadable:
            raise
        except UnidentifiedImageError:
            raise Unreadable(f"it is none of {', '.join(FORMATS)}") from None
        except Pillow.DecompressionBombError:
            raise Unreadable(f"it has more than {pixels:,} pixels (data.pixels)") from None
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError) as e:
            raise Unreadable(f"it is damaged ({str(e).strip() or type(e).__name__})") from None
        except Exception as e:  # readers of damaged files raise whatever they meet
            raise Unreadable(f"it is damaged ({type(e).__name__}: {e})") from None


def _decode(data: bytes, channels: int | None, least: int, pixels: int) -> np.ndarray:
    picture = _opened(io.BytesIO(data), pixels)
    width, height = picture.size
    if min(width, height) < SMALLEST:
        raise Unreadable(f"it has {width}x{height} pixels, which shows nothing")
    turn = TURNS.get(picture.getexif().get(0x0112, 1))
    if picture.format == "JPEG" and picture.mode in ("L", "RGB") and channels != 4:
        import simplejpeg

        grey = channels == 1 or (channels is None and picture.mode == "L")
        tall, broad, *_ = simplejpeg.decode_jpeg_header(data)  # the two readers may see different headers
        _few(broad, tall, pixels)
        found = simplejpeg.decode_jpeg(
            data, colorspace="GRAY" if grey else "RGB", min_height=least or 0, min_width=least or 0
        )
    else:
        found = _pillow(picture, channels)
    if turn:
        found = np.rot90(found[:, ::-1] if turn[0] else found, turn[1])
    return np.ascontiguousarray(found)


def contents(path: Path, pixels: int = PIXELS) -> bytes:
    """The bytes of a picture's file. Raises: Unreadable for a pipe, and for far more bytes than its pixels need."""
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode):
        raise Unreadable("it is no plain file")
    with open(path, "rb") as file:
        if info.st_size > BYTES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    width, height = _opened(file, pixels).size
                except Unreadable:
                    raise
                except Exception as error:
                    raise Unreadable(f"it has {info.st_size:,} bytes and no header of a picture ({error})") from None
            if info.st_size > BYTES + 16 * width * height:
                raise Unreadable(f"it has {info.st_size:,} bytes, far more than {width}x{height} pixels need")
            file.seek(0)
        return file.read()


def _opened(file: IO[bytes], pixels: int) -> Any:
    """Pillow's picture of a file, its header read and its size bounded."""
    start = file.read(30)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":  # Pillow makes room for all of it at once
        _few(*_webp(start), pixels)
    file.seek(0)
    if Pillow.MAX_IMAGE_PIXELS is not None and pixels > Pillow.MAX_IMAGE_PIXELS:
        Pillow.MAX_IMAGE_PIXELS = pixels  # asked for by the user: Pillow's own bound is below
    picture = Pillow.open(file, formats=FORMATS)
    _few(*picture.size, pixels)
    return picture


def _few(width: int, height: int, pixels: int) -> None:
    if width * height > pixels:
        raise Unreadable(
            f"it has {width}x{height} pixels, and at most {pixels:,} are read (--set data.pixels={width * height})"
        )


def _webp(start: bytes) -> tuple[int, int]:
    """Width and height that the first chunk of a WebP file says."""
    kind, body = start[12:16], start[20:30]
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


def _pillow(picture: Any, channels: int | None) -> np.ndarray:
    """Palettes, transparency, 16 bits and print colours to 8 bits of grey or colour."""
    picture.load()
    mode = picture.mode
    if mode.startswith("I"):  # 16 bits, which Pillow also keeps in 32
        wide = np.asarray(picture).astype(np.int64)
        picture = Pillow.fromarray((np.clip(wide, 0, 65535) / 257 + 0.5).astype(np.uint8))
    elif mode == "F":
        raise Unreadable("it has floating-point pixels of no known range; save it with 8 or 16 bits")
    clear = "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa")
    if channels == 4:
        return np.asarray(picture.convert("RGBA"))
    if clear:
        grey = picture.mode in ("LA", "La", "L")
        picture = picture.convert("RGBA")
        white = Pillow.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Pillow.alpha_composite(white, picture).convert("L" if grey else "RGB")
    grey = channels == 1 or (channels is None and picture.mode in ("1", "L"))
    found = np.asarray(picture.convert("L" if grey else "RGB"))
    return found[:, :, None] if grey else found


def fit_square(pixels: np.ndarray, size: int, resize: str = "cover") -> np.ndarray:
    """(h, w, c) to (size, size, c): "cover" cuts the middle out, "pad" adds black, "stretch" does neither."""
    height, width, channels = pixels.shape
    if height == width == size:
        return pixels
    box = None
    if resize == "cover":
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    tall, wide = size, size
    if resize == "pad":
        tall = max(1, round(size * height / max(height, width)))
        wide = max(1, round(size * width / max(height, width)))
    parts = [pixels] if channels == 3 else [pixels[:, :, i] for i in range(channels)]
    done = [
        Pillow.fromarray(np.ascontiguousarray(p)).resize((wide, tall), Pillow.Resampling.BILINEAR, box) for p in parts
    ]
    found = np.asarray(done[0]) if channels == 3 else np.stack([np.asarray(p) for p in done], axis=2)
    if resize == "pad":
        whole = np.zeros((size, size, channels), np.uint8)
        top, left = (size - tall) // 2, (size - wide) // 2
        whole[top : top + tall, left : left + wide] = found
        return whole
    return found


def png(pixels: np.ndarray) -> bytes:
    """(h, w, 1, 3 or 4) uint8 as the bytes of a PNG; of other channels the first is shown."""
    if pixels.ndim == 3 and pixels.shape[2] not in (3, 4):
        pixels = pixels[:, :, 0]
    out = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG")
    return out.getvalue()
