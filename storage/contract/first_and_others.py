"""How records named several subjects before `subjects` did: the first apart, and the `others`.

Records are read in either form, and written in both: while a deployment is updated, processes of the version before
read what newer ones have written, and it is to be whole for them.
"""

from collections.abc import Mapping
from typing import Any


def with_subjects(data: Any) -> Any:
    """The fields of a job with `subjects` in place of `subject` and `others`, whichever it has."""
    if not isinstance(data, Mapping) or not {"subject", "others"} & data.keys():
        return data
    fields = {name: value for name, value in data.items() if name not in ("subject", "others")}
    if "subjects" in fields:
        return fields
    first, others = data.get("subject"), data.get("others") or ()
    if first is not None and isinstance(others, list | tuple):
        fields["subjects"] = (first, *others)
    return fields


def with_learned_subjects(data: Any) -> Any:
    """The fields of an outcome with `subjects`, what was learned of each, in place of `learned` and `others`."""
    if not isinstance(data, Mapping) or not {"learned", "others", "subject"} & data.keys():
        return data
    fields = {name: value for name, value in data.items() if name not in ("learned", "others", "subject")}
    learned, others = data.get("learned"), data.get("others") or {}
    if "subjects" in fields or learned is None:
        return fields
    by_id = others.items() if isinstance(others, Mapping) else [("", others)]
    return {**fields, "subjects": [_named(*each) for each in ((data.get("subject") or "", learned), *by_id)]}


def _named(subject: Any, learned: Any) -> Any:
    """What was learned of a subject, with its id; as it is where the record is damaged, which is then refused."""
    return {"subject": subject, **learned} if isinstance(learned, Mapping) else learned


def job_as_before(fields: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a job for the version before as well."""
    if not (subjects := fields.get("subjects")):
        return fields
    return {**fields, "subject": subjects[0], "others": subjects[1:]}


def outcome_as_before(fields: dict[str, Any]) -> dict[str, Any]:
    """The JSON of an outcome for the version before as well."""
    if not (subjects := fields.get("subjects")):
        return fields
    ids = [each["subject"] for each in subjects]
    first, *others = [{name: value for name, value in each.items() if name != "subject"} for each in subjects]
    return {**fields, "learned": first, "others": dict(zip(ids[1:], others, strict=True)), "subject": ids[0]}
