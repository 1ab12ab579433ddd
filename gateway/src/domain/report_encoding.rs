//! How the body of a usage report is encoded: compression and character set, as its headers say.

use std::io::Read;

use billing_kit::Fault;
use billing_proto::common::v1::ErrorReason;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;

/// The body without its compression, of at most `bytes_max` bytes.
///
/// # Errors
/// UNSUPPORTED_ENCODING for another compression than gzip; BODY_TOO_LARGE; MALFORMED_BODY where it is
/// not gzip.
pub(crate) fn decompressed(
    content_encoding: Option<&str>,
    body: Bytes,
    bytes_max: usize,
) -> Result<Bytes, Fault> {
    let encoding = content_encoding.unwrap_or_default().trim().to_lowercase();
    match encoding.as_str() {
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => gunzipped(&body, bytes_max),
        _ => Err(Fault::new(
            ErrorReason::UnsupportedEncoding,
            "The body has a Content-Encoding that is not supported. Send it with gzip, or as it is.",
        )),
    }
}

fn gunzipped(body: &[u8], bytes_max: usize) -> Result<Bytes, Fault> {
    // One byte more than is taken tells a body that is too large, whatever it would become.
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut plain = Vec::new();
    MultiGzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|error| {
            let message = "The body says that it is gzip, and cannot be decompressed.";
            Fault::new(ErrorReason::MalformedBody, message).caused_by(error)
        })?;
    if plain.len() > bytes_max {
        let message = format!(
            "The decompressed body is larger than {} KiB.",
            bytes_max / 1024
        );
        return Err(Fault::new(ErrorReason::BodyTooLarge, message));
    }
    Ok(plain.into())
}

/// Refuses a body that its sender says is in another character set than UTF-8, where that matters.
///
/// # Errors
/// MALFORMED_BODY with the name of the character set.
pub(crate) fn check_charset(content_type: Option<&str>, body: &[u8]) -> Result<(), Fault> {
    let Some(charset) = content_type.and_then(charset_of) else {
        return Ok(());
    };
    let is_utf8 = ["utf-8", "utf8", "us-ascii", "ascii"].contains(&charset.as_str());
    // ASCII is the same in nearly every set; where it is not (UTF-16), the JSON does not parse.
    if is_utf8 || body.is_ascii() {
        return Ok(());
    }
    // The name comes from the sender: it is told back only where it looks like one.
    let is_name = charset.len() <= 40
        && charset
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    let named = if is_name {
        &charset
    } else {
        "another character set"
    };
    let message = format!("The Content-Type says that the body is {named}. Send JSON in UTF-8.");
    Err(Fault::new(ErrorReason::MalformedBody, message))
}

/// The value of the parameter `charset`, in lower case and without quotes.
fn charset_of(content_type: &str) -> Option<String> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"').to_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn gzip_is_taken_within_the_limit_of_what_it_becomes() {
        let decode = |encoding, body| decompressed(encoding, body, 1024);
        assert_eq!(decode(Some("GZIP"), gzip(b"{}")).unwrap(), "{}");
        assert_eq!(decode(None, Bytes::from_static(b"{}")).unwrap(), "{}");
        assert_eq!(decode(Some("identity"), "{}".into()).unwrap(), "{}");
        assert_eq!(
            decode(Some("gzip"), gzip(&[b'x'; 1024])).unwrap().len(),
            1024
        );
        let reason = |encoding, body| decode(Some(encoding), body).unwrap_err().reason;
        assert_eq!(
            reason("gzip", gzip(&[b'x'; 1025])),
            ErrorReason::BodyTooLarge
        );
        // A bomb: 10 MiB in 10 KiB.
        let bomb = gzip(&vec![0; 10 * 1024 * 1024]);
        assert_eq!(reason("gzip", bomb), ErrorReason::BodyTooLarge);
        assert_eq!(reason("gzip", "{}".into()), ErrorReason::MalformedBody);
        assert_eq!(
            reason("gzip", gzip(b"{}").slice(..12)),
            ErrorReason::MalformedBody
        );
        for other in ["br", "deflate", "zstd", "gzip, gzip"] {
            assert_eq!(
                reason(other, "{}".into()),
                ErrorReason::UnsupportedEncoding,
                "{other}"
            );
        }
    }

    #[test]
    fn another_character_set_is_named_where_it_matters() {
        let check = |content_type, body: &[u8]| {
            check_charset(Some(content_type), body).map_err(|fault| fault.message)
        };
        let latin = "application/json; charset=ISO-8859-1";
        let told = check(latin, b"{\"a\":\"\xe9\"}").unwrap_err();
        assert!(told.contains("iso-8859-1"), "{told}");
        assert!(check("text/plain;charset=\"windows-1252\"", "é".as_bytes()).is_err());
        let foreign = check("a/b; charset=<script>", "é".as_bytes()).unwrap_err();
        assert!(!foreign.contains('<'), "{foreign}");
        assert_eq!(check(latin, b"{}"), Ok(()));
        for good in [
            "application/json",
            "application/json; charset=UTF-8",
            "a/b; q=1",
        ] {
            assert_eq!(check(good, "é".as_bytes()), Ok(()), "{good}");
        }
        assert!(check_charset(None, "é".as_bytes()).is_ok());
    }
}
