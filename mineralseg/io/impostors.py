"""Files that bear the name of an image and are something else: what they are, and what to do."""

_EXPORT = "export the image as TIFF or PNG"
_FETCH = "download the image again"
_DVC = "fetch the image itself: dvc pull"

_IMPOSTORS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the image", "fetch the image itself: git lfs pull"),
    (b"outs:", "a DVC pointer, not the image", _DVC),
    (b"md5:", "a DVC pointer, not the image", _DVC),
    (b"<vrtdataset", "a GDAL VRT, which shows other files", _EXPORT),
    (b"<gdal", "a GDAL description of other files or services", _EXPORT),
    (b"<!doctype html", "a web page", _FETCH),
    (b"<html", "a web page", _FETCH),
    (b"<?xml", "an XML text", _FETCH),
    (b"<svg", "an SVG drawing", _EXPORT),
    (b"%pdf", "a PDF document", _EXPORT),
    (b"\0\0\0\x0cjp", "a JPEG 2000 image", _EXPORT),
    (b"\x89hdf", "an HDF5 or netCDF-4 file", _EXPORT),
    (b"cdf", "a netCDF file", _EXPORT),
    (b"8bps", "a Photoshop document", _EXPORT),
    (b"pk\x03\x04", "a ZIP archive", "unpack it first"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
)


def describe_impostor(first_bytes: bytes) -> tuple[str, str]:
    """Return what a file that is no readable image is by its first bytes, and how to come to the image."""
    if not first_bytes:
        return "an empty file", "copy the file again from its source"
    start = first_bytes.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, found, fix in _IMPOSTORS:
        if start.startswith(magic) or first_bytes.lower().startswith(magic):
            return found, fix
    if start.startswith(b"riff") and start[8:12] == b"webp":
        return "a WebP image", _EXPORT
    return f"not an image (first bytes {first_bytes[:12]!r})", _EXPORT
