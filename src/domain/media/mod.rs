//! Pictures that people and servers have given themselves.

pub mod picture;

use super::command::commands;

commands! { Media:
    20 AvatarSet(picture::AvatarSet) => avatar_set -> bool, speaks;
    21 IconSet(picture::IconSet) => icon_set -> bool, speaks;
}
