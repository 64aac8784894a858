//! What a player plays: samples in memory, a tone, silence, or a long file fed in chunks.
