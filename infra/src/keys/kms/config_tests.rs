use super::*;

#[test]
fn each_kind_is_read_and_written_alike() {
    for text in [
        "file:/var/lib/lethe-kms",
        "pkcs11:module=/usr/lib/softhsm/libsofthsm2.so;token=lethe;pin-file=/run/pin",
        "pkcs11:module=hsm.so;slot=7;pin-env=LETHE_PIN",
        "openbao:http://127.0.0.1:8200;mount=transit;token-file=/run/token",
        "openbao:https://bao.example.org;mount=team/transit;token-env=BAO_TOKEN;ca-file=/etc/ca.pem",
    ] {
        let config: KmsConfig = text.parse().expect(text);
        assert_eq!(config.to_string(), text);
    }
    for (plain, full) in [
        ("/var/lib/kms", "file:/var/lib/kms"),
        ("kms", "file:kms"),
        ("./a:b", "file:./a:b"),
        ("openbao:http://[::1]:1;token-env=T", "openbao:http://[::1]:1;mount=transit;token-env=T"),
        ("openbao:http://localhost:1/;token-env=T", "openbao:http://localhost:1;mount=transit;token-env=T"),
    ] {
        assert_eq!(plain.parse::<KmsConfig>().expect(plain).to_string(), full);
    }
}

#[test]
fn what_is_wrong_is_named_and_what_to_write_is_said() {
    for (text, what) in [
        ("file:", "the folder of the file KMS is missing"),
        ("", "the folder of the file KMS is missing"),
        ("vault:http://x", "\"vault\" is no kind of KMS"),
        ("pkcs11:token=a;pin-file=b", "module= is missing"),
        ("pkcs11:module=a;pin-file=b", "either token= or slot="),
        ("pkcs11:module=a;token=b;slot=1;pin-file=b", "either token= or slot="),
        ("pkcs11:module=a;slot=b;pin-file=b", "is no number"),
        ("pkcs11:module=a;token=b", "pin-file= is missing"),
        ("pkcs11:module=a;token=b;pin-file=c;pin-env=d", "are both there"),
        ("pkcs11:module=a;module=a;token=b;pin-file=c", "module= is empty or there twice"),
        ("openbao:http://127.0.0.1:1;mount=/x;token-env=T", "no path of a transit engine"),
        ("openbao:http://127.0.0.1:1;mount=a?b;token-env=T", "no path of a transit engine"),
        ("openbao:http://bao.example.org;token-env=T", "in the clear"),
        ("openbao:http://127.0.0.1.example.org;token-env=T", "in the clear"),
        ("openbao:ftp://127.0.0.1;token-env=T", "is no address"),
        ("openbao:http://user:word@127.0.0.1;token-env=T", "is no address"),
        ("openbao:nonsense;token-env=T", "is no address"),
    ] {
        let message = text.parse::<KmsConfig>().expect_err(text).to_string();
        assert!(message.contains(what) && message.contains("; do this next: "), "{text}: {message}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_refused_and_not_repeated() {
    for text in ["pkcs11:module=a;token=b;pin=hunter2", "openbao:http://127.0.0.1:1;token=hunter2;hunter2"] {
        let message = text.parse::<KmsConfig>().expect_err(text).to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}
