//! Whether the root element is that of an ODM file in a version that is read.

use exchange::odm::OdmVersion;

use super::Element;
use crate::odm::error::{OdmError, shown};

const ODM_1_3: &str = "http://www.cdisc.org/ns/odm/v1.3";
const ODM_2_0: &str = "http://www.cdisc.org/ns/odm/v2.0";
const ODM_ANY: &str = "http://www.cdisc.org/ns/odm/v";

/// The version whose elements these are, if they are any that is read.
pub(super) fn of_namespace(namespace: Option<&str>) -> Option<OdmVersion> {
    match namespace {
        Some(ODM_1_3) => Some(OdmVersion::V1_3_2),
        Some(ODM_2_0) => Some(OdmVersion::V2_0),
        _ => None,
    }
}

pub(super) fn check(root: Element) -> Result<(Element, OdmVersion), OdmError> {
    let namespace = root.namespace.as_deref().unwrap_or_default();
    let version = root.attribute("ODMVersion");
    if root.name != "ODM" || !namespace.starts_with(ODM_ANY) {
        let what = match namespace.starts_with(ODM_ANY) {
            true => format!("its root element is {}, not ODM", shown(&root.name)),
            false => {
                format!("its root element is {} in another namespace than {ODM_1_3} and {ODM_2_0}", shown(&root.name))
            }
        };
        return Err(OdmError::NotOdm { at: root.at, what });
    }
    match (namespace, version) {
        (ODM_1_3, None | Some("1.3" | "1.3.0" | "1.3.1" | "1.3.2")) => Ok((root, OdmVersion::V1_3_2)),
        (ODM_2_0, None | Some("2.0" | "2.0.0")) => Ok((root, OdmVersion::V2_0)),
        (ODM_1_3 | ODM_2_0, Some(other)) => Err(OdmError::Version { at: root.at, version: shown(other) }),
        (other, version) => {
            let of_namespace = other.trim_start_matches(ODM_ANY);
            Err(OdmError::Version { at: root.at, version: shown(version.unwrap_or(of_namespace)) })
        }
    }
}
