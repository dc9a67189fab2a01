"""Makes the pictures beside it with programs that are not ours: `python3 make.py` (Pillow 13).

Each shows four quarters, upright: red, green, blue, yellow. What is said beside them has the word "secret" in it.
"""
import io, struct, subprocess, zlib
from PIL import Image, ImageCms, PngImagePlugin

COLORS = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (250, 250, 10)]

def quarters(width=96, height=64, colors=COLORS, mode="RGB"):
    picture = Image.new(mode, (width, height))
    for index, color in enumerate(colors):
        box = (index % 2 * width // 2, index // 2 * height // 2)
        picture.paste(color, (*box, box[0] + width // 2, box[1] + height // 2))
    return picture

def exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010e] = "secret place"
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0), 29: "secret"}
    return exif

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
T = Image.Transpose
INVERSE = {1: None, 2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE,
           6: T.ROTATE_90, 7: T.TRANSVERSE, 8: T.ROTATE_270}
for orientation, inverse in INVERSE.items():
    picture = quarters()
    picture = picture if inverse is None else picture.transpose(inverse)
    picture.save(f"turned-{orientation}.jpg", quality=80, exif=exif(orientation), comment=b"secret comment",
                 xmp=b"<x:xmpmeta>secret</x:xmpmeta>")
turned = quarters().transpose(INVERSE[6])
turned.save("turned.webp", quality=80, exif=exif(6), xmp=b"secret")
text = PngImagePlugin.PngInfo()
text.add_text("Comment", "secret")
text.add_itxt("XML:com.adobe.xmp", "secret")
text.add_text("More", "secret" * 20, zip=True)
turned.save("turned.png", exif=exif(6), pnginfo=text)

quarters().save("progressive.jpg", quality=80, progressive=True, icc_profile=PROFILE)
quarters().convert("L").save("grey.jpg", quality=80)
quarters().convert("CMYK").save("cmyk.jpg", quality=90)

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def interlaced(picture):
    """Sixteen bits a colour, in seven passes (Adam7)."""
    width, height = picture.size
    rows = b""
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for y in range(y0, height, dy):
            rows += b"\0" + b"".join(bytes([c for v in picture.getpixel((x, y)) for c in (v, v)]) for x in range(x0, width, dx))
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"tEXt", b"Author\0secret") + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")

open("sixteen-interlaced.png", "wb").write(interlaced(quarters()))
clear = quarters(colors=[c + (255,) for c in COLORS[:3]] + [(0, 0, 0, 0)], mode="RGBA")
clear.quantize(8).save("indexed-clear.png")
other = quarters(colors=[(0, 0, 0), (255, 255, 255), (9, 9, 9), (99, 99, 99)])
quarters().save("moving.png", save_all=True, append_images=[other], duration=90, pnginfo=text)
quarters().save("moving.webp", save_all=True, append_images=[other], duration=90, lossless=True, xmp=b"secret")
# Each frame is disposed of in another way; the later ones cover a part.
frames = [quarters().quantize(16)] + [Image.new("P", (96, 64), 5) for _ in range(3)]
out = io.BytesIO()
frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=70, loop=3, disposal=[1, 2, 3, 0], comment=b"secret")
open("moving.gif", "wb").write(out.getvalue())

# Films, by ffmpeg 5.1.
RED, GREEN, BLUE, YELLOW = (f"color={color}:s=160x90,format=yuv420p" for color in ("red", "lime", "blue", "yellow"))
GRAPH = f"{RED}[a];{GREEN}[b];{BLUE}[c];{YELLOW}[d];[a][b]hstack[e];[c][d]hstack[f];[e][f]vstack"
run = lambda *args: subprocess.run(["ffmpeg", "-v", "error", "-y", *args], check=True)
run("-f", "lavfi", "-i", GRAPH, "-t", "1", "-r", "5", "-c:v", "libx264", "-metadata", "title=secret", "quarters.mp4")
run("-i", "quarters.mp4", "-c:v", "libvpx-vp9", "-b:v", "20k", "quarters.webm")
