//! Invented people. Nobody of this name, address or number exists.

use domain::port::Dice;
use serde_json::{Value, json};

/// An invented participant.
pub struct Person {
    /// The participant id that the client chose.
    pub id: uuid::Uuid,
    /// Body of the command that records the identity.
    pub identity: Value,
    /// What identifies this person and no other: must be found nowhere unsealed.
    pub canaries: Vec<String>,
}

const GIVEN: [&str; 16] = [
    "Ingrid", "Matthias", "Åsa", "Giulia", "Tomasz", "Noor", "Björn", "Camille", "Yusuf", "Elena", "Marek", "Saoirse",
    "Henrik", "Zofia", "Anselm", "Leocadia",
];
const FAMILY_START: [&str; 16] = [
    "Kvist", "Holm", "Brandt", "Lunde", "Ferrar", "Novak", "Steen", "Marchand", "Aldin", "Petrov", "Oakes", "Weid",
    "Solhei", "Dragan", "Haugl", "Thorn",
];
const FAMILY_END: [&str; 8] = ["ström", "mann", "sdóttir", "elli", "owski", "berg", "quist", "enfeld"];
const STREETS: [&str; 8] = [
    "Lindenallee",
    "Rua das Flores",
    "Storgata",
    "Kirkeveien",
    "Via dei Mille",
    "Rue Cardinet",
    "Plac Nowy",
    "Akersgata",
];

/// Draws a person.
pub fn person(dice: &dyn Dice) -> Person {
    let id = dice.uuid();
    let bytes = dice.bytes();
    let pick = |n: usize, of: &[&'static str]| of[usize::from(bytes[n]) % of.len()];
    let number = |n: usize| u64::from_le_bytes(bytes[n..n + 8].try_into().expect("eight bytes")) % 10_000_000_000;
    let given = pick(0, &GIVEN);
    let family = format!("{}{}", pick(1, &FAMILY_START), pick(2, &FAMILY_END));
    let email = format!("{}.{:010}@post.example", family.to_lowercase(), number(8));
    let telephone = format!("+99 {:010}", number(16));
    let national_id = format!("{:010}-{:02}", number(24), bytes[3] % 100);
    let address = format!("{} {}, {:05} Invented", pick(4, &STREETS), bytes[5], number(6) % 100_000);
    let birth = format!("19{:02}-{:02}-{:02}", 40 + bytes[6] % 60, 1 + bytes[7] % 12, 1 + bytes[8] % 28);
    let identity = json!({
        "type": "record", "details": {
            "given_name": given, "family_name": family, "date_of_birth": birth, "email": email,
            "telephone": telephone, "postal_address": address, "national_id": national_id,
        },
    });
    Person { id, identity, canaries: vec![email, telephone, national_id, address, format!("{given} {family}")] }
}
