"""Reads a running platform with tools that nobody of this project wrote.

    judge.py rave EXPECTED.json   Medidata's client rwslib; EXPECTED says where, and what must be found
    judge.py odm VERSION FILE…    whether ODM files follow their schema, by libxml2 and by xmlschema
"""

import datetime
import json
import os
import sys
import urllib.parse
from pathlib import Path

import lxml.etree
import xmlschema
from rwslib import AuthorizationException, RWSConnection
from rwslib.extras.audit_event.main import ODMAdapter
from rwslib.rws_requests import (
    BuildVersionRequest,
    ClinicalStudiesRequest,
    MetadataStudiesRequest,
    StudySubjectsRequest,
    StudyVersionRequest,
    StudyVersionsRequest,
    TwoHundredRequest,
    VersionRequest,
)
from rwslib.rws_requests.odm_adapter import AuditRecordsRequest
from rwslib.rwsobjects import RWSException

ODM = "{http://www.cdisc.org/ns/odm/v1.3}"
faults = []


def same(where, found, wanted):
    if found != wanted:
        faults.append(f"{where}: found {found!r}, wanted {wanted!r}")


def refused(where, wanted, ask):
    try:
        ask()
    except wanted as error:
        return error
    except Exception as error:
        faults.append(f"{where}: {type(error).__name__}: {error}")
    else:
        faults.append(f"{where}: was answered")


# --- Rave


class Everything:
    """Gathers what the parser of rwslib tells: each audit, in order."""

    def __init__(self):
        self.contexts = []

    def default(self, context):
        self.contexts.append(context)


def short(context):
    """An audit as the expectation has it."""
    item, event, form, query = context.item, context.event, context.form, context.query
    audit = context.audit_record
    if not isinstance(audit.datetimestamp, datetime.datetime) or audit.source_id < 1:
        faults.append(f"{context.subcategory}: time {audit.datetimestamp}, id {audit.source_id}")
    return {
        "what": context.subcategory,
        "subject": context.subject.name,
        "key": context.subject.key,
        "event": event and [event.oid, event.repeat_key],
        "form": form and [form.oid, form.repeat_key],
        "group": context.itemgroup and [context.itemgroup.oid, context.itemgroup.repeat_key],
        "item": item and item.oid,
        "value": item and item.value,
        "verify": item and item.verify,
        "reason": audit.reason_for_change,
        "user": audit.user_oid,
        "location": audit.location_oid,
        "query": query and [query.status, query.value, query.response, query.recipient],
    }


def walk(connection, expected, per_page):
    """The whole trail by rwslib's own adapter, which follows the links."""
    sink = Everything()
    adapter = ODMAdapter(connection, expected["study"], expected["environment"], sink)
    adapter.run(start_id=0, per_page=per_page)
    return sink.contexts


def rave(path):
    expected = json.loads(Path(path).read_text())
    url, study, environment = expected["url"], expected["study"], expected["environment"]
    connection = RWSConnection(url, "a label", expected["token"])
    send = connection.send_request

    same("version", send(VersionRequest()), "1.18.0")
    same("build", send(BuildVersionRequest()), expected["build"])
    same("two hundred", "200" in send(TwoHundredRequest()), True)

    studies = send(ClinicalStudiesRequest())
    same("studies", [(it.oid, it.protocolname, it.environment, it.isProd()) for it in studies],
         [(f"{study}({environment})", study, environment, False)])
    projects = send(MetadataStudiesRequest())
    same("projects", [it.oid for it in projects], [study])

    versions = send(StudyVersionsRequest(study))
    same("versions", [[it.oid, it.name] for it in versions], expected["versions"])
    text = send(StudyVersionRequest(study, 1))
    root = lxml.etree.fromstring(text.encode())
    metadata = root.find(f"{ODM}Study/{ODM}MetaDataVersion")
    same("the design's version", [metadata.get("OID"), metadata.get("Name")], expected["versions"][-1])
    same("items", sorted(it.get("OID") for it in metadata.findall(f"{ODM}ItemDef")), sorted(expected["items"]))
    same("visits", [it.get("OID") for it in metadata.findall(f"{ODM}StudyEventDef")], expected["visits"])

    subjects = send(StudySubjectsRequest(study, environment))
    same("subjects", [[it.subject_name, it.locationoid, it.studyoid] for it in subjects],
         [[number, site, f"{study}({environment})"] for number, _, site in expected["subjects"]])
    by_uuid = send(StudySubjectsRequest(study, environment, status=True, subject_key_type="SubjectUUID"))
    same("subjects by UUID", [[it.subjectname, it.subjectkey, it.touched] for it in by_uuid],
         # rwslib makes lower case of it.
         [[number.lower(), key, True] for number, key, _ in expected["subjects"]])

    whole = [short(context) for context in walk(connection, expected, 1000)]
    for n, (found, wanted) in enumerate(zip(whole, expected["audits"])):
        same(f"audit {n}", {name: found[name] for name in wanted}, wanted)
    same("how many audits", [it["what"] for it in whole], [it["what"] for it in expected["audits"]])
    for per_page in (1, 3):
        paged = [short(context) for context in walk(connection, expected, per_page)]
        same(f"audits in pages of {per_page}", paged, whole)
    ids = [context.audit_record.source_id for context in walk(connection, expected, 1000)]
    same("audit ids", ids == sorted(ids), True)
    middle = ids[len(ids) // 2]
    send(AuditRecordsRequest(study, environment, startid=middle, per_page=1))
    link = connection.last_result.links["next"]["url"]
    query = urllib.parse.parse_qs(urllib.parse.urlparse(link).query)
    same("the link", (query["studyoid"], int(query["startid"][0]) > middle), ([f"{study}({environment})"], True))

    anybody = RWSConnection(url)
    refused("without credentials", AuthorizationException, lambda: anybody.send_request(ClinicalStudiesRequest()))
    wrong = RWSConnection(url, "a label", "no-token")
    refused("with a wrong token", RWSException, lambda: wrong.send_request(ClinicalStudiesRequest()))
    error = refused("an unknown study", RWSException, lambda: send(StudySubjectsRequest("unheard", environment)))
    same("the reason", error and error.rws_error.reasoncode, "no-such-study")
    refused("another environment", RWSException, lambda: send(StudySubjectsRequest(study, "Prod")))
    refused("an unknown version", RWSException, lambda: send(StudyVersionRequest(study, 99)))


# --- ODM


def odm(version, paths):
    schemas = Path(os.environ["SCHEMAS"])
    path = schemas / ("odm132/ODM1-3-2.xsd" if version == "132" else "odm20/ODM.xsd")
    libxml2 = lxml.etree.XMLSchema(lxml.etree.parse(path))
    other = xmlschema.XMLSchema(str(path), allow="local", base_url=str(path.parent))
    for path in map(Path, paths):
        if not libxml2.validate(lxml.etree.parse(path)):
            faults.append(f"{path.name}: {libxml2.error_log}")
        faults.extend(f"{path.name}: {error.path}: {error.reason}" for error in other.iter_errors(str(path.resolve())))


if sys.argv[1] == "rave":
    rave(sys.argv[2])
else:
    odm(sys.argv[2], sys.argv[3:])
print("\n".join(faults[:20]))
sys.exit(1 if faults else 0)
