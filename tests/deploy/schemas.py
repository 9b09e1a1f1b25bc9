#!/usr/bin/env python3
"""Makes the JSON schemas that kubeconform needs, with no field allowed that a kind does not have.

    schemas.py kubernetes WHEEL VERSION FOLDER   those of Kubernetes, from the package kubernetes-validate
    schemas.py crds FOLDER FILE ...              those of custom kinds, from their CustomResourceDefinitions
"""

import json
import pathlib
import sys
import zipfile

import yaml


def kubernetes(wheel, version, folder):
    inside = f"kubernetes_validate/kubernetes-json-schema/v{version}-local-strict/"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as files:
        for name in files.namelist():
            if name.startswith(inside) and name.endswith(".json"):
                # Their ids, and references to each other, are addresses that nothing serves here.
                text = files.read(name).decode()
                text = text.replace('"$ref": "/api/_definitions.json#', '"$ref": "_definitions.json#')
                schema = json.loads(text)
                schema.pop("$id", None)
                (folder / name.removeprefix(inside)).write_text(json.dumps(schema))
    if not (folder / "deployment-apps-v1.json").exists():
        sys.exit(f"{wheel} has no schemas of Kubernetes {version}")


def crds(folder, files):
    folder.mkdir(parents=True)
    for file in files:
        for definition in yaml.safe_load_all(pathlib.Path(file).read_text()):
            if not definition or definition["kind"] != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                for name in ("apiVersion", "kind"):
                    schema["properties"].setdefault(name, {"type": "string"})
                schema["properties"].setdefault("metadata", {"type": "object"})
                name = f"{spec['group']}-{spec['names']['kind'].lower()}-{version['name']}.json"
                (folder / name).write_text(json.dumps(strict(schema)))


def strict(schema):
    """The structural schema of a definition as JSON schema."""
    if not isinstance(schema, dict):
        return schema
    schema = dict(schema)
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("anyOf", None)
        return schema | {"type": ["integer", "string"]}
    for key in ("properties", "patternProperties"):
        if key in schema:
            schema[key] = {name: strict(value) for name, value in schema[key].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            schema[key] = strict(schema[key])
    is_open = schema.pop("x-kubernetes-preserve-unknown-fields", False)
    if "properties" in schema and not is_open:
        schema.setdefault("additionalProperties", False)
    # Formats are Kubernetes' own (int32, date-time of Go): they say nothing that `type` does not.
    schema.pop("format", None)
    if schema.pop("nullable", False) and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    return schema


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["kubernetes", wheel, version, folder]:
            kubernetes(wheel, version, pathlib.Path(folder))
        case ["crds", folder, *files]:
            crds(pathlib.Path(folder), files)
        case _:
            sys.exit(__doc__)
