//! `qstat -x`: XML of all attributes; what has resources is nested.

use crate::pbs::record::Record;

/// A whole document.
pub(crate) fn document(records: &[Record], tag: &str, id_tag: &str) -> Vec<u8> {
    let mut out = b"<?xml version=\"1.0\"?>\n<Data>".to_vec();
    for record in records {
        out.extend(format!("<{tag}>").into_bytes());
        element(&mut out, id_tag, record.id.as_bytes());
        let mut rest = record.attrs.as_slice();
        while let Some(attr) = rest.first() {
            if attr.resource.is_empty() {
                element(&mut out, attr.name, &attr.value);
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let group =
                rest.iter().take_while(|other| other.name == attr.name && !other.resource.is_empty()).count();
            out.extend(format!("<{}>", attr.name).into_bytes());
            for member in rest.iter().take(group) {
                element(&mut out, &member.resource, &member.value);
            }
            out.extend(format!("</{}>", attr.name).into_bytes());
            rest = rest.get(group..).unwrap_or_default();
        }
        out.extend(format!("</{tag}>").into_bytes());
    }
    out.extend_from_slice(b"</Data>\n");
    out
}

fn element(out: &mut Vec<u8>, tag: &str, value: &[u8]) {
    out.extend(format!("<{tag}>").into_bytes());
    for byte in value {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            _ => out.push(*byte),
        }
    }
    out.extend(format!("</{tag}>").into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_nested_and_marks_escaped() {
        let mut record = Record::new("24.vm");
        record.add("Job_Name", "a<b>&c");
        record.add_resource("Resource_List", "walltime", "00:00:05");
        record.add_resource("Resource_List", "nodes", "1");
        record.add("euser", "pbsuser");
        let made = String::from_utf8(document(&[record], "Job", "Job_Id")).unwrap();
        assert_eq!(
            made,
            "<?xml version=\"1.0\"?>\n<Data><Job><Job_Id>24.vm</Job_Id><Job_Name>a&lt;b&gt;&amp;c</Job_Name>\
             <Resource_List><walltime>00:00:05</walltime><nodes>1</nodes></Resource_List><euser>pbsuser</euser></Job></Data>\n"
        );
    }
}
