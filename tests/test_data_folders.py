"""Image folders: their layout, every kind of picture, and what is wrong with some."""

import os
import struct
import zlib

import numpy as np
import pytest
from datafiles import IMAGE_SIZE, entries, image_tree, load, pixels, refusal, save_image
from PIL import Image

from pfltune.data import squares
from pfltune.data.placed import DOMAINS

SIZE = 6


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def tree(tmp_path):
    """Cups and pens, six pixels wide."""
    return image_tree(tmp_path / "tree", {"pen": 3, "cup": 2})


@pytest.fixture
def domains(tmp_path):
    """Art has no pens."""
    counts = {"photo/pen": 2, "photo/cup": 1, "art/cup": 2, "web/hat": 1, "web/cup": 1}
    return image_tree(tmp_path / "domains", counts)


def folder(path, size=SIZE, **settings):
    return load(f"folder:{path}", size=size, **settings)


def only(tmp_path, image, mode=None, name="a.png", size=SIZE, beside=None):
    """What one image file in a folder of its own is decoded to, (channels, size, size)."""
    save_image(tmp_path / "one" / "class" / name, image, mode)
    if beside is not None:
        save_image(tmp_path / "one" / "class" / "z.png", beside)
    return folder(tmp_path / "one", size).images[0].numpy()


COLOUR = pixels(SIZE, SIZE, 3)
GRAY = pixels(SIZE, SIZE)


class TestLayout:
    def test_classes_are_folders_in_the_order_of_their_names(self, tree):
        data = folder(tree)
        assert data.class_names == ("cup", "pen")
        assert data.labels.tolist() == [0, 0, 1, 1, 1]
        assert data.domains is None
        for sample, name in enumerate(("cup/0", "cup/1", "pen/0", "pen/1", "pen/2")):
            with Image.open(tree / f"{name}.png") as image:
                stored = data.images[sample].permute(1, 2, 0).numpy()
                assert np.array_equal(stored, np.asarray(image))

    def test_not_every_domain_needs_every_class(self, domains):
        data = load(f"domains:{domains}", size=SIZE)
        assert data.domain_names == ("art", "photo", "web")
        assert data.class_names == ("cup", "hat", "pen")
        assert data.domains.tolist() == [0, 0, 1, 1, 1, 2, 2]
        assert data.labels.tolist() == [0, 0, 0, 2, 2, 0, 1]

    def test_only_what_is_chosen_is_read(self, domains):
        (domains / "web" / "cup" / "0.png").write_bytes(b"broken")
        (domains / "photo" / "hat").mkdir()
        data = load(
            f"domains:{domains}", size=SIZE, classes=("pen", "cup"), domains=("photo", "art")
        )
        assert data.class_names == ("pen", "cup")
        assert data.domain_names == ("photo", "art")
        assert data.labels.tolist() == [0, 0, 1, 1, 1]
        assert data.domains.tolist() == [0, 0, 0, 1, 1]

    def test_hidden_files_and_litter_are_passed_over(self, tree):
        (tree / ".git").mkdir()
        (tree / "__MACOSX").mkdir()
        (tree / "README.md").write_text("about")
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            (tree / "cup" / name).write_text("no image")
        assert len(folder(tree).labels) == 5

    def test_the_side_is_that_of_the_backbone_unless_it_is_given(self, tree):
        side = load(f"folder:{tree}", classes=("cup",)).images.shape
        assert side == (2, 3, IMAGE_SIZE, IMAGE_SIZE)

    def test_what_network_drives_and_notebooks_leave_is_passed_over_and_counted(self, tree, root):
        quiet = folder(tree)
        assert quiet.notes == ()
        for place in (".", "cup", "pen"):
            save_image(tree / place / "@eaDir" / "0.png" / "thumb.jpg", COLOUR)
        save_image(tree / "cup" / ".ipynb_checkpoints" / "0-checkpoint.png", COLOUR)
        save_image(tree / "lost.png", COLOUR)
        data = folder(tree)
        assert data.images.equal(quiet.images)
        (note,) = data.notes
        assert note.startswith("passed over beside the images: @eaDir (3), ")
        assert ".ipynb_checkpoints" in note
        assert "lost.png" in note
        assert len(entries(root)) == 1, "what is not read is no part of the key"

    def test_what_lies_beside_an_image_to_tell_of_it_is_passed_over_and_counted(self, tree):
        for name in ("0.txt", "1.txt", "0.XMP", "0.json", "0.png.aae"):
            (tree / "cup" / name).write_text("of an image")
        data = folder(tree)
        assert len(data.labels) == 5
        (note,) = data.notes
        assert note.startswith("passed over beside the images: *.txt (2), ")
        assert all(kind in note for kind in ("*.xmp", "*.json", "*.aae"))
        for path in (tree / "cup").glob("*.png"):
            path.unlink()
        assert refusal(f"folder:{tree}") == f"the class folder {tree}/cup has no images"

    def test_numbers_in_the_names_of_classes_count_as_numbers(self, tmp_path):
        tree = image_tree(tmp_path / "n", {"10": 1, "9": 1, "scan10": 1, "scan2": 1, "b": 1})
        assert folder(tree).class_names == ("9", "10", "b", "scan2", "scan10")

    def test_a_name_that_is_no_utf8_is_refused(self, tree):
        (tree / os.fsdecode(b"caf\xe9")).mkdir()
        assert "is no UTF-8; rename it" in refusal(f"folder:{tree}")

    @pytest.mark.parametrize("name", DOMAINS)
    def test_the_sets_with_domains_are_read_below_the_data_root(self, root, domains, name):
        message = refusal(name)
        assert f"{name!r} is not at {root}/{name}: put there, as domain/class/image," in message
        root.mkdir()
        (root / name).symlink_to(domains)
        data = load(name, size=SIZE, domains=("web",), classes=("hat",))
        assert data.name == name
        assert data.images.shape == (1, 3, SIZE, SIZE)


class TestClientsAndSplits:
    def test_a_folder_per_client_is_a_client(self, tmp_path):
        counts = {"w10/cup": 1, "w9/pen": 2, "w9/cup": 1}
        data = load(f"clients:{image_tree(tmp_path / 'c', counts)}", size=SIZE)
        assert data.client_names == ("w9", "w10")
        assert data.clients.tolist() == [0, 0, 0, 1]
        assert data.labels.tolist() == [0, 1, 1, 0]
        assert (data.domains, data.splits) == (None, None)

    def test_the_same_folders_are_domains_or_clients_as_is_asked(self, domains, root):
        one, other = (load(f"{kind}:{domains}", size=SIZE) for kind in ("domains", "clients"))
        assert one.images.equal(other.images)
        assert one.domains.equal(other.clients)
        assert len(entries(root)) == 2

    def test_a_client_without_images_of_a_class_stops_nobody(self, tmp_path):
        tree = image_tree(tmp_path / "c", {"a/cup": 2, "b/pen": 1})
        for empty in ("a/pen", "c"):
            (tree / empty).mkdir()
        data = load(f"clients:{tree}", size=SIZE)
        assert data.client_names == ("a", "b")
        assert data.clients.tolist() == [0, 0, 1]
        assert data.notes == (
            "passed over beside the images: empty folder pen",
            "1 client of 3 without samples, left out: c",
        )

    @pytest.mark.parametrize("layout", ["folder", "domains", "clients"])
    def test_folders_called_train_and_test_are_given_splits(self, tmp_path, layout):
        above = "" if layout == "folder" else "x/"
        counts = {f"{part}/{above}cup": n for part, n in (("test", 1), ("Train", 2), ("valid", 3))}
        data = load(f"{layout}:{image_tree(tmp_path / 's', counts)}", size=SIZE)
        assert data.splits.tolist() == [0, 0, 1, 1, 1, 2]
        assert data.class_names == ("cup",)
        assert data.notes == ("its folders are given splits, train 2, val 3, test 1",)
        names = {"domains": data.domain_names, "clients": data.client_names}
        assert names == {kind: ("x",) if kind == layout else () for kind in names}

    def test_a_part_may_lack_a_client_and_a_class(self, tmp_path):
        counts = {"train/a/cup": 1, "train/b/pen": 1, "test/a/pen": 1}
        data = load(f"clients:{image_tree(tmp_path / 's', counts)}", size=SIZE)
        assert data.clients.tolist() == [0, 1, 0]
        assert data.labels.tolist() == [0, 1, 1]
        assert data.splits.tolist() == [0, 0, 2]

    def test_other_names_beside_them_or_no_folders_below_make_them_classes(self, tmp_path):
        vehicles = image_tree(tmp_path / "v", {"train": 2, "test": 1})
        assert folder(vehicles).class_names == ("test", "train")
        domains = image_tree(tmp_path / "d", {"train/cup": 2, "test/cup": 1})
        data = load(f"domains:{domains}", size=SIZE)
        assert (data.domain_names, data.splits) == (("test", "train"), None)
        mixed = image_tree(tmp_path / "m", {"train/cup": 1, "extra/cup": 1})
        assert "the layout is class/image" in refusal(f"folder:{mixed}")

    def test_folders_without_any_image_are_refused(self, tmp_path):
        (tmp_path / "c" / "a" / "cup").mkdir(parents=True)
        assert "has no images laid out as client/class/image" in refusal(f"clients:{tmp_path}/c")

    def test_clients_are_no_domains(self, domains):
        assert "has none; see domains:PATH" in refusal(f"clients:{domains}", domains=("art",))


class TestPictures:
    def test_a_folder_of_gray_images_keeps_one_channel(self, tmp_path):
        assert np.array_equal(only(tmp_path, GRAY), GRAY[None])

    def test_a_gray_image_among_others_becomes_rgb(self, tmp_path):
        assert np.array_equal(only(tmp_path, GRAY, beside=COLOUR), np.stack([GRAY] * 3))

    def test_a_palette_is_looked_up(self, tmp_path):
        image = Image.fromarray(COLOUR).quantize(5)
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        assert np.array_equal(only(tmp_path, image, name="a.gif"), expected)

    @pytest.mark.parametrize("name", ["a.tif", "a.jpg"], ids=["plain", "Adobe's inverted"])
    def test_cmyk_has_the_colours_of_rgb(self, tmp_path, name):
        cyan = Image.new("RGB", (SIZE, SIZE), (20, 200, 240))
        pixel = only(tmp_path, cyan.convert("CMYK"), name=name, beside=COLOUR)[:, 2, 2]
        assert np.abs(pixel.astype(int) - (20, 200, 240)).max() <= 4
        (note,) = folder(tmp_path / "one").notes
        assert note == "1 of 2 images: CMYK, made RGB without colour profiles"

    @pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
    @pytest.mark.parametrize("turn", range(1, 9))
    def test_a_photo_is_turned_as_its_orientation_says(self, tmp_path, name, turn):
        upright = np.zeros((16, 16), np.uint8)
        upright[:8, :8] = 250  # what a person sees: white above on the left
        stored = {  # EXIF 2.3, tag 274: what the first row and column of the file are
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.T,
            6: np.rot90(upright),
            7: np.rot90(upright, 2).T,
            8: np.rot90(upright, -1),
        }[turn]
        exif = Image.Exif()
        exif[274] = turn
        path = tmp_path / "one" / "class" / name
        path.parent.mkdir(parents=True)
        Image.fromarray(stored.copy()).convert("RGB").save(path, exif=exif)
        data = folder(tmp_path / "one", 2)
        assert (data.images[0, 0] > 125).tolist() == [[True, False], [False, False]]
        told = ("1 of 1 images: turned upright by EXIF orientation",)
        assert data.notes == (told if turn > 1 else ())

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    def test_damaged_exif_on_a_whole_image_does_not_matter(self, tmp_path):
        path = tmp_path / "one" / "class" / "a.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(COLOUR).save(path, exif=b"Exif\0\0junk")
        assert np.array_equal(folder(tmp_path / "one").images[0].permute(1, 2, 0), COLOUR)

    def test_sixteen_bits_are_scaled_and_not_cut_off(self, tmp_path):
        wide = np.linspace(0, 65535, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint16)
        assert np.array_equal(only(tmp_path, wide), np.round(wide / 257).astype(np.uint8)[None])

    @pytest.mark.parametrize("low", [0, 32_768], ids=["from 0", "with an offset"])
    def test_twelve_bits_of_sixteen_keep_their_gray_levels(self, tmp_path, low):
        """The range is that of the data set: one image must not become brighter than another."""
        values = np.arange(4096).repeat(2)
        dark, bright = values.reshape(2, 64, 64)
        for name, gray in (("dark.png", dark), ("light.png", bright)):
            save_image(tmp_path / "one" / "class" / name, (gray + low).astype(np.uint16))
        data = load(f"folder:{tmp_path}/one", size=64)
        assert len(data.images.unique()) == 256
        assert data.images[0].max() < 129 < data.images[1].max() == 255
        assert data.notes == (
            f"2 of 2 images: gray of more than 8 bits, values {low} to {low + 4095}, "
            "the range of this data set, scaled to 0 to 255",
        )

    def test_eight_bits_in_sixteen_stay_what_they_are(self, tmp_path):
        assert np.array_equal(only(tmp_path, GRAY.astype(np.uint16)), GRAY[None])

    def test_mixed_gray_and_colour_is_said(self, tmp_path):
        only(tmp_path, GRAY, beside=COLOUR)
        (note,) = folder(tmp_path / "one").notes
        assert note == "1 of 2 images: gray, repeated in three colours"

    def test_the_first_of_several_frames_is_read_and_said(self, tmp_path):
        path = tmp_path / "one" / "class" / "a.tif"
        path.parent.mkdir(parents=True)
        pages = [Image.fromarray(GRAY), Image.fromarray(255 - GRAY)]
        pages[0].save(path, save_all=True, append_images=pages[1:])
        data = folder(tmp_path / "one")
        assert np.array_equal(data.images[0, 0], GRAY)
        assert data.notes == ("1 of 1 images: several frames, the first is read",)

    @pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
    def test_the_first_frame_of_every_format_is_read_and_said(self, tmp_path, name):
        frames = [Image.fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (40, 200, 90)]
        path = tmp_path / "one" / "class" / name
        path.parent.mkdir(parents=True)
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, lossless=True)
        save_image(tmp_path / "one" / "class" / "z.png", pixels(8, 8, 3))
        data = folder(tmp_path / "one", 8)
        assert np.abs(data.images[0].numpy().astype(int) - 40).max() <= 1
        assert "1 of 2 images: several frames, the first is read" in data.notes

    def test_every_alpha_of_a_palette_lies_on_white(self, tmp_path):
        image = Image.fromarray(np.tile(np.uint8([0, 1, 2]), (SIZE, SIZE // 3)), mode="P")
        image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
        path = tmp_path / "one" / "class" / "a.png"
        path.parent.mkdir(parents=True)
        image.save(path, transparency=bytes([255, 51, 0]))
        decoded = folder(tmp_path / "one").images[0, :, 0, :3].T.tolist()
        assert decoded[0] == [10, 20, 30]
        assert np.abs(np.array(decoded[1]) - (0.2 * np.array([40, 50, 60]) + 204)).max() <= 1
        assert decoded[2] == [255, 255, 255]
        assert (
            "1 of 1 images: alpha, transparent parts laid on white"
            in folder(tmp_path / "one").notes
        )

    def test_images_that_are_not_square_or_made_larger_are_counted(self, tmp_path):
        for name, height, width in (("a", 8, 8), ("b", 8, 16), ("c", 3, 3), ("d", 7, 9)):
            save_image(tmp_path / "one" / "class" / f"{name}.png", pixels(height, width, 3))
        assert folder(tmp_path / "one", 8).notes == (
            "2 of 4 images: not square, drawn out to be",
            "1 of 4 images: smaller than 8 pixels, made that large; data.size says how large",
        )

    @pytest.mark.parametrize(("top", "kept"), [(65_535, True), (4_095, False)])
    def test_colours_of_sixteen_bits_are_said_or_refused(self, tmp_path, top, kept):
        """Pillow reads the upper 8 bits of each: of 12 bits 4 would be left."""
        rows = np.zeros((SIZE, 1 + 6 * SIZE), np.uint8)
        rows[:, 1:] = np.full((SIZE, 3 * SIZE), top, ">u2").view(np.uint8)
        head = struct.pack(">IIBBBBB", SIZE, SIZE, 16, 2, 0, 0, 0)
        parts = {b"IHDR": head, b"IDAT": zlib.compress(rows.tobytes()), b"IEND": b""}
        png = b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts.items()
        )
        path = tmp_path / "one" / "class" / "a.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + png)
        if kept:
            assert folder(tmp_path / "one").notes == (
                "1 of 1 images: 16 bits per colour, the upper 8 are read",
            )
        else:
            assert "in this data set these are 15 at most" in refusal(f"folder:{tmp_path}/one")

    def test_two_tones_become_black_and_white(self, tmp_path):
        image = Image.fromarray((GRAY > 127).astype(np.uint8) * 255)
        expected = np.where(GRAY > 127, 255, 0)[None]
        assert np.array_equal(only(tmp_path, image.convert("1", dither=0)), expected)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_transparent_parts_lie_on_white(self, tmp_path, mode):
        colours = COLOUR if mode == "RGBA" else GRAY[..., None]
        alpha = np.zeros((SIZE, SIZE, 1), np.uint8)
        alpha[:3] = 255
        alpha[3] = 51  # a fifth of the colour, four fifths of white
        pixel = only(tmp_path, np.concatenate([colours, alpha], 2)).astype(float)
        assert len(pixel) == colours.shape[2]
        expected = colours.transpose(2, 0, 1).astype(float)
        expected[:, 4:] = 255
        expected[:, 3] = 0.2 * expected[:, 3] + 0.8 * 255
        assert np.abs(pixel - expected).max() <= 1

    def test_a_transparent_colour_of_a_palette_is_white(self, tmp_path):
        image = Image.fromarray(np.tile(np.uint8([0, 1]), (SIZE, SIZE // 2)), mode="P")
        image.putpalette([10, 20, 30, 40, 50, 60])
        path = tmp_path / "one" / "class" / "a.png"
        path.parent.mkdir(parents=True)
        image.save(path, transparency=0)
        decoded = folder(tmp_path / "one").images[0, :, 0, :2]
        assert decoded.T.tolist() == [[255, 255, 255], [40, 50, 60]]

    def test_large_images_are_resized_with_antialiasing(self, tmp_path):
        stripes = np.tile(np.uint8([[0], [255]]), (40, 60))  # 80×60, finer than the result
        decoded = only(tmp_path, stripes, size=4)
        assert decoded.shape == (1, 4, 4)
        assert np.abs(decoded.astype(int) - 127).max() < 20

    def test_other_formats_are_read_by_their_content(self, tmp_path):
        save_image(tmp_path / "one" / "class" / "a.bmp", COLOUR)
        (tmp_path / "one" / "class" / "a.bmp").rename(tmp_path / "one" / "class" / "photo")
        stored = folder(tmp_path / "one").images[0].numpy()
        assert np.array_equal(stored, COLOUR.transpose(2, 0, 1))

    def test_many_images_are_decoded_in_their_order(self, tmp_path, monkeypatch):
        monkeypatch.setattr("pfltune.data.source.CHUNK_BYTES", 300)
        for number in range(20):
            shade = np.full((SIZE, SIZE), number, np.uint8)
            save_image(tmp_path / "many" / "class" / f"{number:02}.png", shade)
        assert folder(tmp_path / "many").images[:, 0, 0, 0].tolist() == list(range(20))


class TestBadFolders:
    @pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\0\0\0\x01"])
    def test_a_broken_image_is_named_and_nothing_is_left(self, tree, root, content):
        path = tree / "pen" / "1.png"
        path.write_bytes(content)
        assert refusal(f"folder:{tree}", size=SIZE).startswith(f"{path} cannot be read as an image")
        assert entries(root) == []

    @pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.tif", "a.webp"])
    def test_a_truncated_image_is_named(self, tmp_path, root, name):
        path = save_image(tmp_path / "one" / "class" / name, pixels(64, 64, 3))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        assert f"{path} cannot be read as an image: " in refusal(f"folder:{tmp_path}/one")
        assert entries(root) == []

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            (np.full((4, 4), 0.5, np.float32), "fractions of unknown range"),
            (np.full((4, 4), 70_000, np.int32), "run from 70000 to 70000"),
        ],
    )
    def test_pixels_without_a_known_range_are_refused(self, tmp_path, values, told):
        path = save_image(tmp_path / "one" / "class" / "a.tif", values)
        message = refusal(f"folder:{tmp_path}/one")
        assert message.startswith(f"{path} cannot be read as an image: ")
        assert told in message

    def test_an_empty_class_is_named(self, tree, root):
        (tree / "hat").mkdir()
        (tree / "hat" / ".hidden").touch()
        assert refusal(f"folder:{tree}") == f"the class folder {tree}/hat is empty"

    def test_a_folder_without_images_is_refused(self, tmp_path, domains):
        empty = tmp_path / "empty"
        empty.mkdir()
        (empty / "image.png").touch()
        for kind, layout in (("folder", "class/image"), ("domains", "domain/class/image")):
            assert refusal(f"{kind}:{empty}") == (
                f"{empty} has no folders of images; {empty} must be laid out as {layout}"
            )
        (domains / "sketch").mkdir()
        assert f"{domains}/sketch has no folders of images" in refusal(f"domains:{domains}")

    def test_the_other_layout_is_recognised(self, tree, domains):
        assert f"{domains}/art/cup is a folder where images are" in refusal(f"folder:{domains}")
        assert f"{tree}/cup has no folders of images" in refusal(f"domains:{tree}")

    def test_unknown_classes_and_domains_are_told_with_the_choices(self, tree, domains):
        name = f"domains:{domains}"
        assert "unknown class 'x'; choose from: cup, hat, pen" in refusal(name, classes=("x",))
        assert "unknown class 'hat'; choose from: cup" in refusal(
            name, classes=("hat",), domains=("art",)
        )
        assert "unknown domain 'x'; choose from: art, photo, web" in refusal(name, domains=("x",))
        assert "see domains:PATH" in refusal(f"folder:{tree}", domains=("art",))

    def test_what_is_no_file_does_not_hang(self, tree):
        os.mkfifo(tree / "cup" / "pipe")
        assert refusal(f"folder:{tree}") == f"{tree}/cup/pipe is no file"

    def test_a_link_to_nowhere_is_named(self, tree):
        (tree / "cup" / "lost.png").symlink_to(tree / "gone.png")
        assert refusal(f"folder:{tree}") == f"{tree}/cup/lost.png is no file"


class TestKey:
    def test_the_second_load_decodes_nothing(self, tree, root, monkeypatch):
        first = folder(tree)

        def must_not(*_, **__):
            raise AssertionError("decoded again")

        monkeypatch.setattr(squares, "decode_image", must_not)
        assert folder(tree).images.equal(first.images)
        assert len(entries(root)) == 1

    def test_what_changes_the_samples_gives_a_new_key(self, tree, root):
        folder(tree)
        folder(tree, 5)
        folder(tree, classes=("pen", "cup"))
        save_image(tree / "cup" / "0.png", pixels(SIZE, SIZE, 3, seed=99))
        folder(tree)
        (tree / "cup" / "0.png").rename(tree / "cup" / "9.png")
        folder(tree)
        (tree / "cup").rename(tree / "mug")
        folder(tree)
        assert len(entries(root)) == 6

    def test_the_same_images_elsewhere_share_an_entry(self, tree, root, tmp_path):
        folder(tree)
        tree.rename(tmp_path / "moved")
        folder(tmp_path / "moved")
        assert len(entries(root)) == 1
