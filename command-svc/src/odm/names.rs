//! The names of ODM's elements. A `<` in a value that nobody escaped makes an element of what follows it, so only a
//! name that ODM knows is ever repeated in an error or a report.

/// The name for people: as it stands, if ODM knows it.
pub(super) fn named(name: &str) -> &str {
    let local = name.rsplit(':').next().unwrap_or(name);
    if is_known(local) { local } else { "an unknown element" }
}

/// Whether ODM 1.3.2 has an element of this name.
pub(super) fn is_known(name: &str) -> bool {
    ELEMENTS.binary_search(&name).is_ok()
}

/// ODM 1.3.2, in order.
#[rustfmt::skip]
const ELEMENTS: &[&str] = &[
    "Address", "AdminData", "Alias", "Annotation", "Annotations", "ArchiveLayout", "ArchiveLayoutRef",
    "Association", "AuditRecord", "AuditRecords", "BasicDefinitions", "Certificate", "CheckValue", "City",
    "ClinicalData", "CodeList", "CodeListItem", "CodeListRef", "Comment", "ConditionDef", "Country",
    "CryptoBindingManifest", "DateTimeStamp", "Decode", "Description", "DisplayName", "Email", "EnumeratedItem",
    "ErrorMessage", "ExternalCodeList", "ExternalQuestion", "Fax", "FirstName", "Flag", "FlagType", "FlagValue",
    "FormData", "FormDef", "FormRef", "FormalExpression", "FullName", "GlobalVariables", "ImputationMethod",
    "Include", "InvestigatorRef", "ItemData", "ItemDataAny", "ItemDataBase64Binary", "ItemDataBase64Float",
    "ItemDataBoolean", "ItemDataDate", "ItemDataDatetime", "ItemDataDouble", "ItemDataDurationDatetime",
    "ItemDataFloat", "ItemDataHexBinary", "ItemDataHexFloat", "ItemDataIncompleteDate",
    "ItemDataIncompleteDatetime", "ItemDataIncompleteTime", "ItemDataInteger", "ItemDataIntervalDatetime",
    "ItemDataPartialDate", "ItemDataPartialDatetime", "ItemDataPartialTime", "ItemDataString", "ItemDataTime",
    "ItemDataURI", "ItemDef", "ItemGroupData", "ItemGroupDef", "ItemGroupRef", "ItemRef", "KeySet", "LastName",
    "LegalReason", "Location", "LocationRef", "LoginName", "Meaning", "MeasurementUnit", "MeasurementUnitRef",
    "MetaDataVersion", "MetaDataVersionRef", "MethodDef", "ODM", "Organization", "OtherText", "Pager", "Phone",
    "Picture", "PostalCode", "Presentation", "Protocol", "ProtocolName", "Question", "RangeCheck",
    "ReasonForChange", "ReferenceData", "Role", "Signature", "SignatureDef", "SignatureRef", "Signatures",
    "SiteRef", "SourceID", "StateProv", "StreetName", "Study", "StudyDescription", "StudyEventData",
    "StudyEventDef", "StudyEventRef", "StudyName", "SubjectData", "Symbol", "TranslatedText", "User", "UserRef",
];

#[test]
fn the_list_is_in_order() {
    assert!(ELEMENTS.is_sorted());
    assert_eq!((named("odm:ItemData"), named("Lovelace")), ("ItemData", "an unknown element"));
}
