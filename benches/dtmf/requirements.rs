//! The requirements as lines, and what each detector makes of them.

use antiphon::dtmf::Detector;

use crate::judge::{Baseline, Listen, Score};
use crate::signal::{Chance, Law, Line, Loss, stream};
use Wanted::{All, Any, NinetyNine, None};

/// What is wanted of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// Each press told once.
    All,
    /// At least 99 % told, none twice.
    NinetyNine,
    /// None told.
    None,
    /// As it comes.
    Any,
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Wanted::All => "all, once",
            Wanted::NinetyNine => "99 %, once",
            Wanted::None => "none",
            Wanted::Any => "-",
        }
    }
}

/// One row of the table.
pub struct Row {
    /// What it is about.
    pub name: &'static str,
    /// What is sent.
    pub line: Line,
    /// What is to come of it.
    pub wanted: Wanted,
}

const OFF: &[(f64, f64)] = &[(1.5, 1.5), (-1.5, -1.5), (1.5, -1.5), (-1.5, 1.5)];
const TOO_FAR: &[(f64, f64)] = &[
    (3.5, 0.0),
    (-3.5, 0.0),
    (0.0, 3.5),
    (0.0, -3.5),
    (3.5, 1.5),
    (-3.5, 1.5),
    (1.5, -3.5),
    (3.5, 3.5),
    (-3.5, -3.5),
    (-3.5, 3.5),
];
const DIAL: &[f64] = &[350.0, 440.0];

/// All rows.
pub fn rows() -> Vec<Row> {
    let rows = [lengths(), lines(), losses(), refused()];
    rows.into_iter().flatten().collect()
}

fn row(name: &'static str, wanted: Wanted, line: Line) -> Row {
    Row { name, line, wanted }
}

fn lengths() -> Vec<Row> {
    let short = Line::ms(40.0, 40.0);
    let any_level = |line: Line| line.level(-30.0, 0.0);
    vec![
        row("40/40 ms, -10 dBm0", All, short),
        row("40/40 ms, 0 to -30 dBm0", All, any_level(short)),
        row("40/40 ms, the same digit each time", All, short.repeated()),
        row("40/40 ms with edges of 5 ms", All, short.edges(5.0)),
        row("70/70 ms", All, any_level(Line::ms(70.0, 70.0))),
        row("100/100 ms", All, any_level(Line::ms(100.0, 100.0))),
        row("500/100 ms", All, any_level(Line::ms(500.0, 100.0))),
        row("5 s/100 ms", All, any_level(Line::ms(5000.0, 100.0))),
        row(
            "a gap of 10 ms in 100 ms",
            All,
            Line::ms(100.0, 50.0).gap(10.0),
        ),
        row(
            "a gap of 10 ms in 500 ms",
            All,
            Line::ms(500.0, 50.0).gap(10.0),
        ),
    ]
}

fn lines() -> Vec<Row> {
    let short = Line::ms(40.0, 40.0);
    // The weaker tone at -30 dBm0.
    let above = short.twist(4.0, 4.0).level(-26.0, 0.0);
    let below = short.twist(-8.0, -8.0).level(-22.0, 0.0);
    let any_twist = short.twist(-8.0, 4.0).level(-22.0, 0.0);
    let on_dial = short.level(-20.0, -10.0);
    let worst = |line: Line, law| line.off(OFF).noisy().law(law);
    vec![
        row("high tone 4 dB above", All, above),
        row("high tone 8 dB below", All, below),
        row("+-1.5 %", All, short.off(OFF)),
        row("15 dB over noise", All, short.noisy()),
        row(
            "A-law, 0 to -30 dBm0",
            All,
            short.level(-30.0, 0.0).law(Law::A),
        ),
        row(
            "u-law, 0 to -30 dBm0",
            All,
            short.level(-30.0, 0.0).law(Law::U),
        ),
        row("over dial tone, -20 dBm0", All, on_dial.dial(DIAL, -13.0)),
        row(
            "over dial tone of 425 Hz, -20 dBm0",
            All,
            on_dial.dial(&[425.0], -10.0),
        ),
        row(
            "over dial tone, -26 dBm0",
            Any,
            short.level(-26.0, -26.0).dial(DIAL, -13.0),
        ),
        row("1.5 %, +4 dB, noise, A-law", All, worst(above, Law::A)),
        row("1.5 %, -8 dB, noise, u-law", All, worst(below, Law::U)),
        row(
            "1.5 %, -8 dB, noise, A-law, dial tone",
            All,
            worst(below.level(-12.0, -8.0).dial(DIAL, -13.0), Law::A),
        ),
        row(
            "1.5 %, -8 to +4 dB, edges, u-law",
            All,
            any_twist.off(OFF).edges(5.0).law(Law::U),
        ),
    ]
}

fn losses() -> Vec<Row> {
    let random = |line: Line| line.law(Law::U).loss(Loss::Random(0.02));
    let each = |line: Line| line.law(Law::U).loss(Loss::OneInEachTone);
    let (short, long) = (Line::ms(70.0, 70.0), Line::ms(100.0, 100.0));
    vec![
        row("70/70 ms, 2 % of packets lost", NinetyNine, random(short)),
        row("100/100 ms, 2 % of packets lost", NinetyNine, random(long)),
        row(
            "500/100 ms, 2 % of packets lost",
            NinetyNine,
            random(Line::ms(500.0, 100.0)),
        ),
        row("70/70 ms, a packet lost in each", Any, each(short)),
        row("100/100 ms, a packet lost in each", Any, each(long)),
    ]
}

fn refused() -> Vec<Row> {
    let any_level = |line: Line| line.level(-30.0, 0.0);
    let far = |ms: f64| Line::ms(ms, 50.0).off(TOO_FAR);
    let brief = |ms: f64| any_level(Line::ms(ms, 50.0));
    vec![
        row("one tone or both off by 3.5 %", None, far(50.0)),
        row("off by 3.5 %, noise", None, any_level(far(50.0)).noisy()),
        row("off by 3.5 %, 1 s, u-law", None, far(1000.0).law(Law::U)),
        row("23 ms", None, brief(23.0)),
        row("23 ms, noise, u-law", None, brief(23.0).noisy().law(Law::U)),
        row("30 ms", Any, brief(30.0)),
    ]
}

/// Streams of sixteen presses.
pub fn score(row: &Row, streams: usize, detector: fn() -> Box<dyn Listen>) -> Score {
    let mut score = Score::default();
    for n in 0..streams {
        let mut chance = Chance(0x0d17_0000 + n as u64);
        let heard = stream(&row.line, n, 16, &mut chance);
        score.add(&heard, detector().as_mut());
    }
    score
}

/// Whether a score is what is wanted.
pub fn met(wanted: Wanted, score: &Score) -> bool {
    let none_amiss = score.doubled == 0 && score.wrong == 0;
    match wanted {
        Wanted::All => none_amiss && score.found == score.pressed,
        Wanted::NinetyNine => none_amiss && score.found * 100 >= score.pressed * 99,
        Wanted::None => score.found == 0 && score.wrong == 0,
        Wanted::Any => true,
    }
}

/// Prints the table; returns whether all is met.
pub fn table(presses: usize) -> bool {
    let mut all_met = true;
    println!(
        "| presses | wanted | found | twice | wrong | told after ms: mean, max \
         | heard of the tone ms: mean, max | `dtmf`: found | twice | wrong |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for row in rows() {
        let period = (row.line.tone_ms + row.line.pause_ms).max(100.0);
        let streams = ((presses as f64 * 100.0 / period / 16.0) as usize).max(4);
        let ours = score(&row, streams, || Box::new(Detector::new()));
        let theirs = score(&row, (streams / 5).max(4), || Box::new(Baseline::new()));
        let ok = met(row.wanted, &ours);
        all_met &= ok;
        let (leak, worst) = ours.leak_ms();
        println!(
            "| {} | {}{} | {} of {} ({:.2} %) | {} | {} | {:.0}, {:.0} | {leak:.1}, {worst:.1} \
             | {:.1} % | {} | {} |",
            row.name,
            row.wanted.name(),
            if ok { "" } else { " **not met**" },
            ours.found,
            ours.pressed,
            ours.percent(),
            ours.doubled,
            ours.wrong,
            ours.delay_ms.0 / ours.found.max(1) as f64,
            ours.delay_ms.1,
            theirs.percent(),
            theirs.doubled,
            theirs.wrong,
        );
    }
    println!(
        "\n{}",
        if all_met {
            "All that is wanted is met."
        } else {
            "NOT all that is wanted is met."
        }
    );
    all_met
}
