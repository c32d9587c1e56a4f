"""Breaks one rule of Cordon after another, as tests/mutations.toml says, and asks whether torture finds it.

Works on a copy below target/, which is built there as well: the tree itself is never touched.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "self-test" / "tree"
BUILD = ROOT / "target" / "self-test" / "build"


def copy_tree():
    shutil.rmtree(COPY, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (COPY / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, COPY / name)


def torture(arguments):
    environment = {**os.environ, "CARGO_TARGET_DIR": str(BUILD)}
    command = ["cargo", "build", "--quiet", "-p", "scenarios", "--bin", "torture", "--locked"]
    subprocess.run(command, cwd=COPY, env=environment, check=True)
    command = [BUILD / "debug" / "torture", "--lives-only", *arguments]
    return subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True, check=False)


def main():
    mutations = tomllib.loads((ROOT / "tests" / "mutations.toml").read_text())["mutation"]
    copy_tree()
    if (unbroken := torture([])).returncode != 0:
        sys.exit(f"torture complains of what is not broken:\n{unbroken.stdout}")
    unfound = []
    for mutation in mutations:
        file = COPY / mutation["file"]
        original = file.read_text()
        if original.count(mutation["find"]) != 1:
            sys.exit(f"{mutation['name']}: its text does not stand exactly once in {mutation['file']}")
        file.write_text(original.replace(mutation["find"], mutation["replace"]))
        ended = torture(["--failures", "20"])
        file.write_text(original)
        lines = [line for line in ended.stdout.splitlines() if line.startswith("seed ")]
        complaints = [line for line in lines if mutation["finds"] in line]
        print(f"{mutation['name']}: {complaints[0] if complaints else 'NOT FOUND'}", flush=True)
        if ended.returncode != 1 or not complaints:
            unfound.append(mutation["name"])
    if unfound:
        sys.exit(f"torture did not find: {', '.join(unfound)}")


if __name__ == "__main__":
    main()
