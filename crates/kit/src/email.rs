//! E-mail addresses, as Better Auth's sign-in reads them. Whoever makes an account keeps to it, or its user
//! could not sign in.

/// Whether the text has the form of an e-mail address by the rule that Better Auth applies (zod's):
/// ASCII, a dotted host whose last label is letters. Whether it is anybody's is another question.
pub fn is_sign_in_email(text: &str) -> bool {
    let Some((local, host)) = text.split_once('@') else {
        return false;
    };
    is_local_part(local) && is_host(host) && !text.contains("..")
}

fn is_local_part(local: &str) -> bool {
    let ends_well = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-');
    !local.starts_with('.')
        && local.chars().next_back().is_some_and(ends_well)
        && local
            .chars()
            .all(|c| ends_well(c) || matches!(c, '\'' | '.'))
}

fn is_host(host: &str) -> bool {
    let Some((labels, last)) = host.rsplit_once('.') else {
        return false;
    };
    let is_label = |label: &str| {
        label
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphanumeric())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    labels.split('.').all(is_label)
        && last.len() >= 2
        && last.chars().all(|c| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_what_only_looks_like_them() {
        for good in [
            "admin@example.com",
            "Admin.O'Neil+x@mail.example.co",
            "a@b-c.de",
            "_@x1.org",
        ] {
            assert!(is_sign_in_email(good), "{good}");
        }
        for bad in [
            "",
            "nope",
            "a@",
            "@b.de",
            "a@localhost",
            "a@b.c",
            ".a@b.de",
            "a.@b.de",
            "a..b@c.de",
            "a@-b.de",
            "a@b..de",
            "a@b.d3",
            "a b@c.de",
            "a@b@c.de",
            "ä@b.de",
        ] {
            assert!(!is_sign_in_email(bad), "{bad}");
        }
    }
}
