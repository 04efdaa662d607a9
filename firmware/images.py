"""Puts what is written to a board into one folder: boot loader, partition table and app of each chip, and a manifest.

Run by `firmware/build all`, with the Python of esptool's environment. The manifest is one that ESP Web Tools reads;
`wsdm-gateway flash` also compares the hashes in it.
"""

import csv
import hashlib
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

FIRMWARE = Path(__file__).parent
CHIPS = {"esp32c3": "ESP32-C3", "esp32c6": "ESP32-C6"}
BOOT_LOADER_OFFSET = 0
TABLE_OFFSET = 0x8000
TABLE_BYTES = 0xC00
TYPES = {"app": 0, "data": 1}
SUBTYPES = {("app", "ota_0"): 0x10, ("app", "ota_1"): 0x11, ("data", "ota"): 0, ("data", "phy"): 1, ("data", "nvs"): 2}


def partition_table(text):
    """The table as the boot loader reads it, with its hash; and where each partition begins, with the bytes that it has."""
    table, places = b"", {}
    for row in csv.reader(line for line in text.splitlines() if not line.startswith("#")):
        name, kind, subtype, *numbers = (cell.strip() for cell in row)
        offset, size = (int(number, 0) for number in numbers)
        table += struct.pack("<2sBBII16sI", b"\xaa\x50", TYPES[kind], SUBTYPES[kind, subtype], offset, size, name.encode(), 0)
        places[name] = offset, size
    table += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest()
    return table.ljust(TABLE_BYTES, b"\xff"), places


def boot_loaders():
    """The folder of ESP-IDF's boot loaders. They come with the library that the gateway flashes with."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--manifest-path", FIRMWARE.parent / "Cargo.toml"]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    espflash = next(package for package in metadata["packages"] if package["name"] == "espflash")
    return Path(espflash["manifest_path"]).parent / "resources" / "bootloaders"


def esptool(*arguments):
    """Runs esptool, and returns what it printed."""
    command = [sys.executable, "-m", "esptool", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\nfirmware/images.py: esptool failed (see above).")
    return done.stdout


def valid(image):
    """Ends the program unless esptool finds the checksum and the hash of an image right."""
    printed = esptool("image-info", image)
    if len(re.findall(r"^(?:Checksum|Validation hash): .*\(valid\)$", printed, re.M)) != 2:
        sys.exit(f"{printed}\nfirmware/images.py: {image} is not a valid image (see above).")


def main():
    built, images = Path(sys.argv[1]), Path(sys.argv[1]) / "images"
    images.mkdir(exist_ok=True)
    manifest = images / "manifest.json"
    # A folder that is only half new has none.
    manifest.unlink(missing_ok=True)
    table, places = partition_table((FIRMWARE / "partitions.csv").read_text())
    (app_offset, app_bytes), (choice_offset, choice_bytes) = places["ota_0"], places["otadata"]
    loaders = boot_loaders()
    builds = []
    for crate, chip in CHIPS.items():
        (app,) = built.glob(f"*/release/wsdm-device-{crate}.bin")
        if app.stat().st_size > app_bytes:
            sys.exit(f"firmware/images.py: {app} does not fit into its partition of {app_bytes} bytes.")
        boot_loader = images / f"{crate}-boot-loader.bin"
        # It has to know the flash as the app does.
        flash = ["--flash-mode", "dio", "--flash-freq", "80m", "--flash-size", "4MB"]
        esptool("--chip", crate, "merge-bin", "--output", boot_loader, *flash, "0", loaders / f"{crate}-bootloader.bin")
        (images / f"{crate}-partitions.bin").write_bytes(table)
        # Erased, it has the boot loader start what is written here, and not what an update brought before.
        (images / f"{crate}-otadata.bin").write_bytes(b"\xff" * choice_bytes)
        (images / f"{crate}-app.bin").write_bytes(app.read_bytes())
        parts = []
        for offset, name in (
            (BOOT_LOADER_OFFSET, "boot-loader"),
            (TABLE_OFFSET, "partitions"),
            (choice_offset, "otadata"),
            (app_offset, "app"),
        ):
            file = images / f"{crate}-{name}.bin"
            if name in ("boot-loader", "app"):
                valid(file)
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            parts.append({"path": file.name, "offset": offset, "sha256": sha256})
        builds.append({"chipFamily": chip, "parts": parts})
    version = re.search(r'^version = "(.*)"$', (FIRMWARE / "esp32c3" / "Cargo.toml").read_text(), re.M)[1]
    # Flashing from a page keeps the settings too.
    described = {"name": "wsdm-device", "version": version, "new_install_prompt_erase": False, "builds": builds}
    manifest.write_text(json.dumps(described, indent=2) + "\n")
    print(f"{images}: images of {', '.join(CHIPS.values())}; wsdm-gateway flash --images {images}")


main()
