//! The file in an upload: the whole body, or the part of a form that browsers send.

/// The name that the field has in RabbitMQ's form.
const FIELD: &str = "name=\"file\"";

/// The file; `None` if a form has none.
pub(super) fn file<'b>(content_type: &str, body: &'b [u8]) -> Option<&'b [u8]> {
    if !content_type.starts_with("multipart/form-data") {
        return Some(body);
    }
    let (_, boundary) = content_type.split_once("boundary=")?;
    let boundary = boundary.split(';').next()?.trim().trim_matches('"');
    let delimiter = format!("--{boundary}");
    let mut rest = body.get(find(body, delimiter.as_bytes())?..)?;
    loop {
        let part = rest.get(delimiter.len()..)?.strip_prefix(b"\r\n")?;
        let end = find(part, format!("\r\n{delimiter}").as_bytes())?;
        let (head, content) = split(part.get(..end)?)?;
        if String::from_utf8_lossy(head).contains(FIELD) {
            return Some(content);
        }
        rest = part.get(end + 2..)?;
    }
}

/// Head and content of a part.
fn split(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let middle = find(part, b"\r\n\r\n")?;
    Some((part.get(..middle)?, part.get(middle + 4..)?))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len().max(1))
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "multipart/form-data; boundary=B";

    #[test]
    fn the_file_is_the_part_of_that_name() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nno\r\n--B\r\n\
                     Content-Disposition: form-data; name=\"file\"; filename=\"d\"\r\n\
                     Content-Type: application/json\r\n\r\n{\"a\":1}\r\n--B--\r\n";
        assert_eq!(file(FORM, body), Some(&b"{\"a\":1}"[..]));
        assert_eq!(file("application/json", b"{}"), Some(&b"{}"[..]));
    }

    #[test]
    fn a_form_without_a_file_has_none() {
        for body in [
            &b""[..],
            b"--B",
            b"--B\r\n",
            b"--B--\r\n",
            b"--B\r\nname=\"file\"\r\n--B--",
            b"--B\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nno\r\n--B--\r\n",
        ] {
            assert_eq!(file(FORM, body), None);
        }
        assert_eq!(file("multipart/form-data", b"{}"), None);
    }
}
