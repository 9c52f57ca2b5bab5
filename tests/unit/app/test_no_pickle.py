"""Nothing that is read can run code: no pickle, no archive unpacked blindly, no shell, anywhere in the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted(
    path for room in ("app", "index", "model", "migrations", "benchmarks") for path in (ROOT / room).rglob("*.py")
)

FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval": "runs text",
    "exec": "runs text",
    "os.system": "runs a shell",
    "os.popen": "runs a shell",
    "yaml.load": "makes any object",
    "pd.read_pickle": "is pickle",
    "pandas.read_pickle": "is pickle",
    "tarfile.open": "use app.backup.archive, which checks each name",
    "shutil.unpack_archive": "follows paths out of the folder",
}


def complaints(source: str) -> Iterator[str]:
    """What of a file must not be."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            yield from of_call(node, ast.unparse(node.func), {word.arg: word.value for word in node.keywords})


def of_call(node: ast.Call, name: str, words: dict[str | None, ast.expr]) -> Iterator[str]:
    def is_given(word: str, value: bool) -> bool:
        return isinstance(words.get(word), ast.Constant) and words[word].value is value  # type: ignore[attr-defined]

    if name in FORBIDDEN_CALLS:
        yield f"{name}: {FORBIDDEN_CALLS[name]}"
    # NumPy's own default is False in every version that we take
    if "allow_pickle" in words and not is_given("allow_pickle", False):
        yield f"{name} with allow_pickle"
    if name in ("np.load", "numpy.load") and len(node.args) > 2:
        yield f"{name} with allow_pickle by position"
    if name == "torch.load" and not is_given("weights_only", True):
        yield "torch.load without weights_only=True"
    if name.startswith("subprocess.") and is_given("shell", True):
        yield f"{name} with shell=True"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib as j",
        "np.load(path, None, True)",
        "np.lib.format.read_array(file, allow_pickle=flag)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "eval(text)",
        "subprocess.run(command, shell=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert len(list(complaints(source))) >= 1


def test_the_sources_have_none() -> None:
    assert len(SOURCES) > 200
    found = {str(path.relative_to(ROOT)): list(complaints(path.read_text())) for path in SOURCES}
    assert {name: what for name, what in found.items() if what} == {}
