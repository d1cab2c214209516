"""What the real Hub says of the metadata in a README: errors it refuses, warnings it only shows.

Checked are the fields that a model card of lowres has; the rules are those that
https://huggingface.co/docs/hub/model-cards and `huggingface_hub.repocard_data` give.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

_FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(.*?)(\n---[ \t]*(\n|\Z)|\Z)", re.DOTALL)
_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")
_REPOSITORY_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LISTS_OF_TEXT = ("datasets", "metrics", "tags")
# https://huggingface.co/docs/hub/repositories-licenses
LICENCES = frozenset(
    re.findall(
        r"\S+",
        """apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m
    bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
    c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl
    ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
    lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0
    odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
    deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2
    llama3.3 llama4 grok2-community gemma unknown other""",
    )
)
_TEXTS = ("library_name", "license", "license_name", "pipeline_tag")


@dataclass
class Verdict:
    """Why a card is refused, and what else there is to say of it."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(readme: str) -> Verdict:
    """The verdict on the YAML between the first two lines of dashes."""
    match = _FRONT_MATTER.match(readme)
    if match is None:
        return Verdict(warnings=["empty or missing yaml metadata in repo card"])
    if not match[2].strip():
        return Verdict(errors=["the metadata section is never closed"])
    try:
        metadata = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        return Verdict(errors=[f"YAML: {error}"])
    if not metadata:
        return Verdict(warnings=["empty or missing yaml metadata in repo card"])
    if not isinstance(metadata, dict):
        return Verdict(errors=["the metadata must be an object"])
    return Verdict(errors=[*_texts(metadata), *_models(metadata), *_results(metadata)])


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _texts(metadata: dict[str, Any]) -> list[str]:
    errors = [
        f'"{name}" must be a string'
        for name in _TEXTS
        if name in metadata and not isinstance(metadata[name], str)
    ]
    licence = metadata.get("license")
    if isinstance(licence, str) and licence not in LICENCES:
        errors.append(f'"license" must be one of the identifiers of the Hub, not {licence!r}')
    errors += [
        f'"{name}" must be an array of strings'
        for name in _LISTS_OF_TEXT
        if not all(isinstance(item, str) for item in _listed(metadata.get(name)))
    ]
    for position, code in enumerate(_listed(metadata.get("language"))):
        # `no` without quotes is a boolean in YAML 1.1; the real Hub says so too
        if not isinstance(code, str) or not _LANGUAGE.fullmatch(code):
            errors.append(
                f'"language[{position}]" with value {code!r} is not valid: an ISO 639-1, 639-2 or'
                " 639-3 code is, or multilingual; BCP-47 goes into language_bcp47"
            )
    return errors


def _models(metadata: dict[str, Any]) -> list[str]:
    return [
        f'"base_model" with value {model!r} is not valid: use a model id from the Hub'
        for model in _listed(metadata.get("base_model"))
        if not isinstance(model, str) or not _REPOSITORY_ID.fullmatch(model)
    ]


def _results(metadata: dict[str, Any]) -> list[str]:
    if "model-index" not in metadata:
        return []
    models = metadata["model-index"]
    if not isinstance(models, list):
        return ['"model-index" must be an array']
    errors = []
    for m, model in enumerate(models):
        where = f"model-index[{m}]"
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            errors.append(f'"{where}.name" is required')
            continue
        results = model.get("results")
        if not isinstance(results, list):
            errors.append(f'"{where}.results" is required')
            continue
        for r, result in enumerate(results):
            errors += _result(result, f"{where}.results[{r}]")
    return errors


def _result(result: Any, where: str) -> list[str]:
    if not isinstance(result, dict):
        return [f'"{where}" must be an object']
    errors = []
    for part, names in (("task", ("type",)), ("dataset", ("type", "name"))):
        content = result.get(part)
        errors += [
            f'"{where}.{part}.{name}" is required'
            for name in names
            if not isinstance(content, dict) or not isinstance(content.get(name), str)
        ]
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        return [*errors, f'"{where}.metrics" is required']
    return errors + [
        f'"{where}.metrics[{i}].{name}" is required'
        for i, metric in enumerate(metrics)
        for name in ("type", "value")
        if not isinstance(metric, dict) or metric.get(name) is None
    ]
