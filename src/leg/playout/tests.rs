//! Tests of `leg::playout`.

use super::*;
