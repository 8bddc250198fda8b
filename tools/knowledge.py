"""Make data/knowledge.json: which names real libraries put into pickles, and in which role.

    python tools/knowledge_sources.py CACHE      # fetch the sources (network, once)
    python tools/knowledge.py CACHE [NATIVE.json...] [--why NAME]
    python tools/knowledge.py CACHE --add LIST   # judge the distributions named in a file, keep what is known of the others

Roles: `c` a class whose instances may be made and filled, `k` one that may be called too,
`r` a function that real pickles call, `f` one that they only refer to. A name gets its role when
no version of it does anything of note in the methods that an unpickler runs (knowledge_ast.py
lists the sinks), or when knowledge_extra.toml says so with a reason. Nothing is imported.
"""

from __future__ import annotations

import json
import pickle  # our own cache of summaries, written by this script
import re
import sys
import time
import tomllib
from collections import Counter, defaultdict
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from knowledge_ast import summarise
from knowledge_native import NOT_REFERENCED, native_names
from knowledge_world import CONSTRUCT, World

HERE = Path(__file__).parent
TARGET = HERE.parent / "src" / "stannary" / "checks" / "static" / "data" / "knowledge.json"
EXTRA = HERE / "knowledge_extra.toml"
LIST = HERE.parent / "requirements" / "corpus-knowledge.txt"

RECONSTRUCTOR = re.compile(
    r"^_*(unpickle|rebuild|mareconstruct|mrreconstruct|from_pickle|recreate)(_\w*)?$|^_reconstruct$|^_new_\w*Index$"
)
# Packages whose functions are found by reference in pickles (FunctionTransformer, scorers, activations).
REFERENCED = re.compile(
    r"^(numpy\.(core|_core|lib|linalg|fft|polynomial|ma)\b|numpy$|scipy\.(special|stats|spatial\.distance|linalg|interpolate|optimize|signal|ndimage|fft|sparse)\b"
    r"|sklearn\.(metrics|preprocessing|feature_selection|utils|feature_extraction|pipeline|compose|model_selection|neighbors|ensemble|_loss|tree|impute"
    r"|linear_model|decomposition|neural_network|gaussian_process|covariance|isotonic|cluster|kernel_approximation)\b"
    r"|torch\.(nn\.(functional|init)|functional|_tensor|special|optim|_refs|nn\.utils)\b|torchvision\.(transforms|ops)\b|timm\.layers|timm\.models\.layers"
    r"|pandas\.core\.(nanops|reshape|algorithms|common|tools|arrays|dtypes|missing)\b|keras\.(src\.)?(activations|losses|metrics|initializers|regularizers|ops|backend)\b"
    r"|tensorflow\.python\.ops\.(math_ops|nn_ops|gen_math_ops|gen_nn_ops)|statsmodels\.(tools|robust|genmod|stats)\b|transformers\.activations"
    r"|category_encoders|sklearn_pandas|patsy|mlxtend\.preprocessing|imblearn\.(metrics|utils)|umap\.(distances|umap_)|pynndescent\.(distances|sparse|utils)"
    r"|hdbscan\b|gplearn\.functions|lifelines\.(utils|fitters)|sktime\.(distances|performance_metrics)|deap\.(tools|gp)|nltk\.(tokenize|stem|metrics)|gensim\.(utils|matutils|parsing|models)"
    r"|fastai\.(layers|losses|metrics|torch_core|data\.transforms|vision\.augment)|spacy\.(lang|attrs|util|pipeline|scorer)|kmodes\.util|transformers\.(optimization|trainer_)|diffusers\.optimization"
    r"|gplearn\.fitness|optuna\.samplers|datasketch\.hashfunc|skrub|torchmetrics\.(utilities|metric|functional)|econml\.utilities|pygam\.|ngboost\.|monai\.(networks|transforms|losses|utils)"
    r"|torch_geometric\.(nn|utils)|kornia\.|segmentation_models_pytorch|einops\.|x_transformers|deepctr_torch|pytorch_forecasting|neuralforecast|bayes_opt|aeon\.(distances|utils|transformations)"
    r"|tslearn\.metrics|darts\.(utils|metrics|dataprocessing|timeseries)|statsforecast|mlforecast|utilsforecast|coreforecast|pyts\.metrics|gluonts\.|botorch\.|gpytorch\.|skopt\.(acquisition|benchmarks|learning|space|utils)"
    r"|stable_baselines3\.common\.(utils|policies|torch_layers)|sb3_contrib|schnetpack\.nn|e3nn\.(nn|math|o3)|chemprop\.nn|pykeen\.(nn|losses|regularizers)|art\.preprocessing|pycox\.|optax\.|flax\.linen|equinox\.nn|jax\.(nn|numpy)"
    r"|ultralytics\.(nn|utils\.(torch_utils|ops|loss|tal))|peft\.(tuners|utils))"
)  # fmt: skip
# Where estimators and schedules keep references to private functions.
PRIVATE_TOO = re.compile(
    r"^(sklearn\.(cluster|preprocessing|metrics|utils|impute|feature_selection)|transformers\.optimization|diffusers\.optimization|gensim|spacy|gplearn|optuna|skrub|econml|pygam)\b"
)
# Visitors, tests and servers are not found as instances; exceptions are refused by their bases.
NOT_DATA = re.compile(r"(Visitor|TestCase|Server|Downloader|Popen|Socket|Metaclass)$")


def summaries(cache: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return {distribution: {version: {module: summary}}}, from the cache where it is newer than the reader."""
    archives = sorted(cache.glob("*.zip"))
    reader = (HERE / "knowledge_ast.py").stat().st_mtime
    stale = [a for a in archives if not (s := a.with_suffix(".summary")).exists() or s.stat().st_mtime < reader]
    with Pool(2) as pool:
        for _ in pool.imap_unordered(store, stale):
            print(".", end="", flush=True, file=sys.stderr)
    out: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for archive in archives:
        name, _, version = archive.stem.rpartition("-")
        out[name][version] = pickle.loads(archive.with_suffix(".summary").read_bytes())  # noqa: S301 - written by store()
    return out


def store(archive: Path) -> None:
    """Write the summary of one distribution beside it."""
    archive.with_suffix(".summary").write_bytes(pickle.dumps(summarise(archive), protocol=5))


def version_key(text: str) -> tuple[int, ...]:
    """Return the numbers of a version, for sorting."""
    return tuple(int(n) for n in re.findall(r"\d+", text))


class Roles:
    """The roles found so far; a name refused in any version stays refused."""

    def __init__(self) -> None:
        self.role: dict[tuple[str, str], str] = {}
        self.refused: dict[tuple[str, str], set[str]] = {}

    def give(self, module: str, qualname: str, role: str, reasons: set[str]) -> None:
        """Note a role, or the reasons against any."""
        key = (module, qualname)
        if reasons:
            self.refused.setdefault(key, set()).update(reasons)
        elif self.role.get(key) != "k":
            self.role[key] = role

    def final(self) -> dict[tuple[str, str], str]:
        """Return what was given and never refused."""
        return {key: role for key, role in self.role.items() if key not in self.refused}


def classes_of(world: World, roles: Roles, returned: set[str]) -> None:
    """Give every class of the version its role."""
    for module, summary in world.own.items():
        for qualname in summary["classes"]:
            last = qualname.rpartition(".")[2]
            if NOT_DATA.search(last) or any(
                b in {"type", "abc.ABCMeta", "enum.EnumMeta", "ast.NodeVisitor"} for b in summary["classes"][qualname]["bases"]
            ):
                continue
            verdict = world.judge_class(module, qualname)
            role = "c"
            if not verdict.reasons:
                made = {
                    "self.__class__",
                    "type",
                    "cls",
                    "__getnewargs__",
                    "__getinitargs__",
                    f"{module}.{qualname}",
                } & verdict.reduces
                if verdict.enum or verdict.named or made or f"{module}.{qualname}" in returned:
                    role = "c" if world.judge_class(module, qualname, CONSTRUCT).reasons else "k"
            where = summary["aliases"].get(qualname, module)
            roles.give(where, qualname, role, verdict.reasons)
            if where != module and "." not in qualname:
                roles.give(module, qualname, role, verdict.reasons)


def functions_of(world: World, roles: Roles, returned: set[str]) -> None:
    """Give reconstructors `r`, and harmless functions of the packages that are referred to `f`."""
    for module, summary in world.own.items():
        refer = REFERENCED.match(module)
        for name in summary["functions"]:
            full = f"{module}.{name}"
            called = full in returned or RECONSTRUCTOR.search(name)
            if not called and (
                not refer or NOT_REFERENCED.search(name) or (name.startswith("_") and not PRIVATE_TOO.match(module))
            ):
                continue
            reasons = set(world.danger.get(full, ()))
            where = summary["aliases"].get(name, module)
            for place in {where, module}:
                roles.give(place, name, "r" if called else "f", reasons)


def returned_by(world: World) -> set[str]:
    """Return the global names that reduce methods and `*reduce*` functions give as the callable."""
    out: set[str] = set()
    for summary in world.own.values():
        for cls in summary["classes"].values():
            for method in cls["methods"].values():
                out.update(method["returned"])
        for function in summary["functions"].values():
            out.update(function["returned"])
    found = (world.find(name) for name in out if "." in name)
    return {f"{f[1]}.{f[2]}" for f in found if f}


def collect(cache: Path, only: set[str]) -> tuple[Roles, dict[str, str]]:
    """Judge every version of every distribution (or of those in `only`); return the roles and the versions read."""
    everything = summaries(cache)
    newest: dict[str, Any] = {}
    for versions in everything.values():
        newest.update(versions[max(versions, key=version_key)])
    front = World(newest)
    roles = Roles()
    read: dict[str, str] = {}
    for name, versions in everything.items():
        if only and name not in only:
            continue
        tops: set[str] = set()
        for version in sorted(versions, key=version_key):
            own = versions[version]
            tops.update(m.partition(".")[0] for m in own)
            world = World(own, front)
            returned = returned_by(world)
            classes_of(world, roles, returned)
            functions_of(world, roles, returned)
        for top in {t for t in tops if not t.startswith("_")} & {name.lower().replace("-", "_"), *tops}:
            read.setdefault(top, ", ".join(sorted(versions, key=version_key)))
        print("+", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    return roles, read


def extra(role: dict[tuple[str, str], str], refused: set[tuple[str, str]]) -> list[str]:
    """Apply knowledge_extra.toml; return its `prune` patterns."""
    if not EXTRA.exists():
        return []
    data = tomllib.loads(EXTRA.read_text(encoding="utf-8"))
    for entry in data.get("add", ()):
        for module in entry["modules"]:
            for name in entry["names"].split():
                role[module, name] = entry["role"]
    for entry in data.get("remove", ()):
        pattern = re.compile(entry["pattern"])
        for key in [k for k in role if pattern.search(".".join(k))]:
            del role[key]
    for entry in data.get("keep", ()):
        for module in entry["modules"]:
            names = entry["names"].split()
            if names == ["@scipy-distributions"]:
                names = [
                    name
                    for place, name in refused
                    if place == module and name.endswith(("_gen", "_frozen", "rv_sample", "rv_generic"))
                ]
            for name in names:
                role[module, name] = entry["role"]
    return [entry["pattern"] for entry in data.get("prune", ())]


def known_before() -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """Return the roles and versions of the data file as it is."""
    body = json.loads(TARGET.read_text(encoding="utf-8"))
    role = {(m, name): kind for m, kinds in body["modules"].items() for kind, names in kinds.items() for name in names.split()}
    return role, body["packages"]


def stdlib_names() -> list[str]:
    """Return top-level standard library modules of Python 3.8 to 3.14, from this one and a list of those gone or new."""
    gone = [
        "aifc",
        "asynchat",
        "asyncore",
        "audioop",
        "binhex",
        "cgi",
        "cgitb",
        "chunk",
        "crypt",
        "distutils",
        "formatter",
        "imghdr",
        "imp",
        "lib2to3",
        "mailcap",
        "msilib",
        "nis",
        "nntplib",
        "ossaudiodev",
        "parser",
        "pipes",
        "smtpd",
        "sndhdr",
        "spwd",
        "sunau",
        "symbol",
        "telnetlib",
        "uu",
        "xdrlib",
        "macpath",
        "dummy_threading",
        "_bootlocale",
        "compression",
        "annotationlib",
        "concurrent",
        "string",
        "pathlib",
        "_pyrepl",
        "_colorize",
    ]
    return sorted(set(sys.stdlib_module_names) | set(gone))


def main() -> None:
    """Write the data file and say what was left out."""
    start = time.monotonic()
    args = sys.argv[1:]
    why = args.pop(args.index("--why") + 1) if "--why" in args else None
    listed = args.pop(args.index("--add") + 1) if "--add" in args else None
    cache = Path(args[0])
    roles, read = collect(cache, set(Path(listed).read_text(encoding="utf-8").split()) if listed else set())
    role = roles.final()
    if listed:
        before, packages = known_before()
        role = {key: kind for key, kind in before.items() if key not in roles.refused} | role
        read = packages | read
    for (module, name), kind in native_names(cache).items():
        if (module, name) not in roles.refused and (not listed or module.partition(".")[0] in read):
            role[module, name] = kind if role.get((module, name)) not in {"k", "r"} else role[module, name]
    prune = re.compile("|".join(f"(?:{p})" for p in extra(role, set(roles.refused))) or r"(?!)")
    role = {key: kind for key, kind in role.items() if not prune.search(".".join(key))}
    modules: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (module, name), kind in sorted(role.items()):
        modules[module][kind].append(name)
    body: dict[str, Any] = {
        "version": 1,
        "packages": {top: versions for top, versions in sorted(read.items()) if any(m.partition(".")[0] == top for m in modules)},
        "stdlib": stdlib_names(),
        "modules": {m: {k: " ".join(v) for k, v in kinds.items()} for m, kinds in sorted(modules.items())},
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(body, separators=(",", ":"), ensure_ascii=True) + "\n", encoding="utf-8")
    print(
        f"{TARGET.stat().st_size / 1e6:.2f} MB, {len(modules)} modules, {Counter(role.values())}, {time.monotonic() - start:.0f} s"
    )
    print(
        "refused:",
        len(roles.refused),
        Counter(r for rs in roles.refused.values() for r in {x.partition("<")[0] for x in rs}).most_common(60),
    )
    sizes: Counter[str] = Counter()
    for module, kinds in body["modules"].items():
        sizes[module.partition(".")[0]] += len(module) + sum(len(v) + 6 for v in kinds.values()) + 6
    print("KB:", ", ".join(f"{top} {size // 1000}" for top, size in sizes.most_common(70)))
    if why:
        for key, reasons in sorted(roles.refused.items()):
            if re.search(why, ".".join(key)):
                print(".".join(key), sorted(reasons))
    (cache / "refused.json").write_text(json.dumps({".".join(k): sorted(v) for k, v in roles.refused.items()}, indent=0))


if __name__ == "__main__":
    main()
