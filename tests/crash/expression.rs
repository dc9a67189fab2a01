//! Emojis and stickers: made, renamed, used, deleted; and their pictures.

use super::*;

/// A picture of so many pixels, as numbers.
fn png(width: u32) -> Value {
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(width, 1).write_to(&mut png, image::ImageFormat::Png).expect("it is small");
    json!(png.into_inner())
}

pub fn emoji(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, all) = (m.owner.token.clone(), format!("/servers/{}/emojis", m.server));
    let name = format!("emoji_{}", m.fresh());
    let place = |id: &str| Place::of(&token, format!("{all}/{id}"), "/name");
    let Some(id) = m.pick("emoji", random) else {
        let width = random.u32(1..40);
        let ask = ("POST", all.clone(), &*token, json!({"name": name, "image": png(width)}));
        m.make(line, ("emoji", "EmojiCreate"), ask, |_, id| place(id), "id", json!(name))?;
        let id = m.pools["emoji"].last().expect("just made").clone();
        // It outlives the emoji, for what was said with it.
        let picture = Place::of("", format!("/media/emojis/{id}"), "");
        m.note(&format!("picture of emoji {id}"), picture, json!(width));
        return Ok(());
    };
    let (fact, one) = (format!("emoji {id}"), format!("{all}/{id}"));
    if random.u8(..3) > 0 {
        let facts = [(&*fact, place(&id), json!(name))];
        return m
            .change(line, "EmojiRename", ("PATCH", one, &token, json!({"name": name})), &facts)
            .map(drop);
    }
    let facts = [(&*fact, place(&id), Value::Null)];
    m.change(line, "EmojiDelete", ("DELETE", one, &token, Value::Null), &facts)?;
    m.forget("emoji", &id);
    Ok(())
}

pub fn sticker(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let token = m.owner.token.clone();
    let Some(id) = m.pick("sticker", random) else {
        let name = format!("sticker{}x", m.fresh());
        let place = |_: &Mixer, _: &str| {
            Place::of(&token, format!("/stickers/suggestions?content={name}"), "/0/name")
        };
        let body = json!({"name": name, "tags": "tea", "image": png(20)});
        let ask = ("POST", format!("/servers/{}/stickers", m.server), &*token, body);
        return m.make(line, ("sticker", "StickerCreate"), ask, place, "id", json!(name));
    };
    if let Some(message) = m.pick("message", random).filter(|_| random.u8(..3) > 0) {
        let body = json!({"message_id": message, "image": []});
        return m
            .change(line, "StickerSend", ("POST", format!("/stickers/{id}/send"), &token, body), &[])
            .map(drop);
    }
    let fact = format!("sticker {id}");
    let facts = [(&*fact, m.facts[&fact].place.clone(), Value::Null)];
    m.change(line, "StickerDelete", ("DELETE", format!("/stickers/{id}"), &token, Value::Null), &facts)?;
    m.forget("sticker", &id);
    Ok(())
}
