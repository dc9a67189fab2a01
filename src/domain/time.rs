//! The two times of the domain, given to it from outside.
//!
//! Wall time is what people see, and steps whenever somebody sets the clock. Steady time is what pauses and lives are
//! measured and stored in; it takes part in no step and never runs backwards.

/// One moment by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970 by the wall clock.
    pub unix_ms: u64,
    /// Milliseconds of steady time.
    pub steady_ms: u64,
}

impl Now {
    /// A moment of a machine whose clock was never set.
    pub const fn at(unix_ms: u64) -> Now {
        Now { unix_ms, steady_ms: unix_ms }
    }

    pub fn offset(self) -> Offset {
        Offset::between(self.unix_ms, self.steady_ms)
    }
}

/// How far wall time is ahead of steady time (negative: behind) in one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset(i64);

impl Offset {
    pub fn between(unix_ms: u64, steady_ms: u64) -> Offset {
        Offset(unix_ms.wrapping_sub(steady_ms).cast_signed())
    }

    /// What the wall clock shows at a moment of steady time, as far as is known now.
    pub fn shown(self, steady_ms: u64) -> u64 {
        steady_ms.saturating_add_signed(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_in_steady_time_is_shown_by_the_clock_of_now() {
        let now = Now { unix_ms: 1_000, steady_ms: 5_000 };
        assert_eq!(now.offset().shown(5_000), 1_000);
        assert_eq!(now.offset().shown(7_500), 3_500);
        assert_eq!(now.offset().shown(100), 0);
        assert_eq!(Offset::between(5_000, 1_000).shown(u64::MAX), u64::MAX);
        assert_eq!(Now::at(9).offset(), Offset::default());
    }
}
