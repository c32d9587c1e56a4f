//! The vocabulary: every attribute in the order of the schema.

/// Every attribute that has a value of its own, by its path, in the order in which the schema names them.
pub(crate) const ATTRIBUTES: [(&str, &[&str]); 6] = [
    (
        "resource",
        &[
            "id",
            "title",
            "severity",
            "severityLevel",
            "status",
            "classification",
            "determination",
            "category",
            "source",
            "detector",
            "techniques",
            "incident",
            "threatFamily",
            "threatName",
            "deviceGroup",
            "created",
            "firstEvent",
            "lastEvent",
            "updated",
            "firstSeenObserving",
            "users",
            "usersListed",
        ],
    ),
    ("resource.hunt", &["name", "mayIsolate"]),
    ("resource.user", &["name", "domain"]),
    (
        "resource.evidence",
        &["truncated", "kinds", "sha1", "sha256", "fileNames", "addresses", "urls", "statuses"],
    ),
    (
        "resource.device",
        &[
            "id",
            "name",
            "class",
            "osPlatform",
            "osVersion",
            "tags",
            "group",
            "value",
            "health",
            "risk",
            "exposure",
            "onboarding",
            "merged",
            "firstSeen",
            "lastSeen",
            "listed",
            "readAt",
        ],
    ),
    (
        "context",
        &[
            "now",
            "actWithin",
            "hour",
            "weekday",
            "localHour",
            "localWeekday",
            "mode",
            "isolationsLastHour",
            "isolationsLastDay",
            "openIsolation",
        ],
    ),
];

/// Whether a path is that of a record, which has no value of its own.
pub(crate) fn is_record(path: &str) -> bool {
    ATTRIBUTES.iter().any(|(of, _)| *of == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the attributes of one record of the schema, in its order.
    fn named_in_schema(header: &str) -> Vec<String> {
        let schema = include_str!("../../policy/src/schema.cedarschema");
        let (_, rest) = schema.split_once(header).unwrap();
        let (body, _) = rest.split_once("\n};").unwrap();
        let fields = body.lines().filter(|line| !line.trim_start().starts_with("//"));
        fields
            .filter_map(|line| Some(line.split_once(':')?.0.trim().trim_end_matches('?').to_owned()))
            .collect()
    }

    #[test]
    fn every_attribute_of_the_schema_is_there_in_its_order() {
        for (of, header) in [
            ("resource", "entity Alert = {"),
            ("resource.evidence", "type Evidence = {"),
            ("resource.device", "type Device = {"),
            ("context", "type Circumstances = {"),
        ] {
            let named = named_in_schema(header);
            let records = ["hunt", "user", "evidence", "device"];
            let plain: Vec<&str> = named
                .iter()
                .map(String::as_str)
                .filter(|name| of != "resource" || !records.contains(name))
                .collect();
            let ours = ATTRIBUTES.iter().find(|(name, _)| *name == of).unwrap().1;
            assert_eq!(plain, ours, "{of}");
        }
    }
}
