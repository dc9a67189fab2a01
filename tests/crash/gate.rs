//! Access tokens: one is good for all that goes on here, others are made and revoked beside it.

use super::*;

/// One that lets its holder in, or does not any more.
pub fn access_token(m: &mut Mixer, _: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let Some(id) = m.pick("access", random) else {
        let count = m.fresh();
        let name = format!("{} {count}", m.name);
        let said = m.operate("AccessTokenCreate", json!({"do": "access_token_create", "name": name}), &[])?;
        let mut lines = said.lines().rev();
        let value = lines.next().expect("it ends with the token").to_owned();
        let id = lines.next().and_then(|line| line.split([' ', ',']).nth(2)).expect("its id").to_owned();
        let owner = m.owner.clone();
        let place = Place { access: Some(value), ..Place::of(&owner.token, "/users/@me".into(), "/id") };
        m.note(&format!("access {id}"), place, json!(owner.id));
        m.pools.entry("access").or_default().push(id);
        return Ok(());
    };
    m.forget("access", &id);
    let name = format!("access {id}");
    let place = m.facts[&name].place.clone();
    let request = json!({"do": "access_token_revoke", "id": id});
    m.operate("AccessTokenRevoke", request, &[(&name, place, Value::Null)])?;
    m.facts.remove(&name);
    Ok(())
}
