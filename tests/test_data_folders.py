"""Image folders: their layout, every kind of picture, and what is wrong with some."""

import os

import numpy as np
import pytest
from datafiles import entries, image_tree, load, pixels, refusal, save_image
from PIL import Image

from pfltune.data import folders
from pfltune.data.catalog import PLACED

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

    def test_the_side_is_224_unless_it_is_given(self, tree):
        assert load(f"folder:{tree}", classes=("cup",)).images.shape == (2, 3, 224, 224)

    @pytest.mark.parametrize("name", PLACED)
    def test_the_sets_with_domains_are_read_below_the_data_root(self, root, domains, name):
        message = refusal(name)
        assert f"{name!r} is not at {root}/{name}: put there, as domain/class/image," in message
        root.mkdir()
        (root / name).symlink_to(domains)
        data = load(name, size=SIZE, domains=("web",), classes=("hat",))
        assert data.name == name
        assert data.images.shape == (1, 3, SIZE, SIZE)


class TestPictures:
    def test_a_folder_of_gray_images_keeps_one_channel(self, tmp_path):
        assert np.array_equal(only(tmp_path, GRAY), GRAY[None])

    def test_a_gray_image_among_others_becomes_rgb(self, tmp_path):
        assert np.array_equal(only(tmp_path, GRAY, beside=COLOUR), np.stack([GRAY] * 3))

    def test_a_palette_is_looked_up(self, tmp_path):
        image = Image.fromarray(COLOUR).quantize(5)
        expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        assert np.array_equal(only(tmp_path, image, name="a.gif"), expected)

    def test_cmyk_becomes_rgb(self, tmp_path):
        ink = np.zeros((SIZE, SIZE, 4), np.uint8)
        ink[..., 0] = 255  # all cyan: no red, all green, all blue
        image = Image.fromarray(ink, mode="CMYK")
        pixel = only(tmp_path, image, name="a.tif")[:, 2, 2]
        assert pixel.tolist() == [0, 255, 255]

    def test_sixteen_bits_are_scaled_and_not_cut_off(self, tmp_path):
        wide = np.linspace(0, 65535, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint16)
        assert np.array_equal(only(tmp_path, wide), np.round(wide / 257).astype(np.uint8)[None])

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
            (np.full((4, 4), 70_000, np.int32), "more than 16 bits"),
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

        monkeypatch.setattr(folders, "decode_image", must_not)
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
