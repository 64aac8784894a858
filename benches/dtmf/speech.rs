//! Speech without end: words made up at random, spoken by espeak-ng, as a telephone would hear it.
//!
//! Two sets that share neither language nor voice: one to tune on, one held apart for the figure.

use std::io::Write;
use std::process::{Command, Stdio};

use antiphon::audio::TICK_SAMPLES;

use crate::signal::{Chance, Law, through};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Set {
    /// The detector's limits were chosen on it.
    Tuned,
    /// Not looked at before the limits were fixed.
    HeldApart,
}

/// A language as espeak-ng names it, and the sounds that its words are made of.
struct Language(&'static str, &'static Sounds);

/// What a syllable begins with, and what it goes on with.
struct Sounds(&'static str, &'static str);

const LATIN: Sounds = Sounds(
    "b br c ch d dr f fl g gr h j k kl l m n p pl qu r s sch sh st str t tr th v w y z",
    "a e i o u ai au ea ee ie oo ou an en in on un ar er or al el il as es is",
);
const ACCENTED: Sounds = Sounds(
    "b c d f g h j k l m n p r s t v z br dr kr pr tr sk st sl",
    "a e i o u á é í ó ú à è ä ö ü å an en in ón ar er al os as is",
);
const SLAVIC: Sounds = Sounds(
    "b c č d f g h ch j k l m n p r s š t v z ž kr pr st zd",
    "a e i o u ie ov al em in á í ý ou",
);
const CYRILLIC: Sounds = Sounds(
    "б в г д ж з к л м н п р с т ф х ц ч ш кр пр ст тр вл",
    "а е и о у ы я ю ий ов ан ер ол ам ить",
);
const GREEK: Sounds = Sounds(
    "β γ δ ζ θ κ λ μ ν ξ π ρ σ τ φ χ ψ στ πρ κρ",
    "α ε η ι ο υ ω αι ει οι ου ας ος ον ά ό ί",
);
const ARABIC: Sounds = Sounds(
    "ب ت ث ج ح خ د ذ ر ز س ش ص ض ط ع غ ف ق ك ل م ن ه",
    "ا و ي َ ُ ِ ان ين ون ات",
);
const HEBREW: Sounds = Sounds("ב ג ד ה ז ח ט כ ל מ נ ס פ צ ק ר ש ת", "א ו י ים ות ה");
const DEVANAGARI: Sounds = Sounds("क ख ग च ज ट ड त द न प ब म य र ल व श स ह", "ा ि ी ु ू े ै ो ौ ां");
const BENGALI: Sounds = Sounds("ক খ গ চ জ ট ড ত দ ন প ব ম য র ল শ স হ", "া ি ী ু ূ ে ো");
const TAMIL: Sounds = Sounds("க ச ட த ந ப ம ய ர ல வ ழ ள ற ன", "ா ி ீ ு ூ ெ ே ை ொ ோ");
const TELUGU: Sounds = Sounds("క గ చ జ ట డ త ద న ప బ మ య ర ల వ స హ", "ా ి ీ ు ూ ె ే ొ ో");
const KANA: Sounds = Sounds(
    "か き く け こ さ し す せ そ た ち つ て と な に ぬ の は ひ ふ ま み む も や ゆ よ ら り る れ ろ わ",
    "ん い う あ お えい おう",
);
const HANGUL: Sounds = Sounds(
    "가 나 다 라 마 바 사 자 차 카 타 파 하 고 노 도 로 모 보 소 조 호 구 누 두 무 수 주 기 니 디 리 미 시",
    "는 을 이 한 글 인 산 강 문 물 집 생 정 영",
);
const HANZI: Sounds = Sounds(
    "我 你 他 是 有 在 不 了 人 大 来 上 国 个 到 说 们 为 子 和 地 出 道 也 时 年 得 就 那 要 下 以 生 会 自",
    "着 去 之 过 家 学 对 可 她 里 后 小 么 心 多 天 而 能 好 都 然 没 日 于 起 还 发 成 事 只 作 当 想 看",
);

const TUNED: &[Language] = &[
    Language("en-us", &LATIN),
    Language("en-gb-scotland", &LATIN),
    Language("de", &LATIN),
    Language("fr-fr", &ACCENTED),
    Language("es", &ACCENTED),
    Language("it", &ACCENTED),
    Language("pl", &SLAVIC),
    Language("ru", &CYRILLIC),
    Language("tr", &ACCENTED),
    Language("fi", &ACCENTED),
    Language("hu", &ACCENTED),
    Language("ar", &ARABIC),
    Language("hi", &DEVANAGARI),
    Language("te", &TELUGU),
    Language("ja", &KANA),
    Language("cmn", &HANZI),
    Language("vi", &LATIN),
    Language("sw", &LATIN),
    Language("eo", &ACCENTED),
    Language("cy", &LATIN),
];
const HELD_APART: &[Language] = &[
    Language("en-gb", &LATIN),
    Language("en-029", &LATIN),
    Language("nl", &LATIN),
    Language("af", &LATIN),
    Language("sv", &ACCENTED),
    Language("da", &ACCENTED),
    Language("nb", &ACCENTED),
    Language("pt", &ACCENTED),
    Language("pt-br", &ACCENTED),
    Language("ro", &ACCENTED),
    Language("ca", &ACCENTED),
    Language("cs", &SLAVIC),
    Language("hr", &SLAVIC),
    Language("sl", &SLAVIC),
    Language("uk", &CYRILLIC),
    Language("bg", &CYRILLIC),
    Language("el", &GREEK),
    Language("fa", &ARABIC),
    Language("he", &HEBREW),
    Language("ne", &DEVANAGARI),
    Language("bn", &BENGALI),
    Language("ta", &TAMIL),
    Language("ko", &HANGUL),
    Language("yue", &HANZI),
    Language("id", &LATIN),
    Language("et", &ACCENTED),
    Language("lv", &SLAVIC),
    Language("is", &ACCENTED),
    Language("eu", &LATIN),
    Language("haw", &LATIN),
];

/// espeak-ng's variants; the empty one is the language's own voice.
const TUNED_VOICES: &str = "m1 m3 m5 m7 f1 f3 f5 klatt klatt2 klatt5 Alex Andrea Annie Denis Gene Hugo \
    Jacky Marco Michael Nguyen RicishayMax Storm UniRobot anika announcer aunty benjamin caleb david \
    edward grandma gustave iven2 iven4 kaukovalta linda marcelo michel norbert paul quincy robert \
    robosoft robosoft3 robosoft5 robosoft7 sandro steph steph3 victor whisper";
const HELD_APART_VOICES: &str = "m2 m4 m6 m8 f2 f4 klatt3 klatt4 klatt6 Alicia Andy AnxiousAndy Demonic \
    Diogo Gene2 Henrique Lee Mario Mike RicishayMax2 RicishayMax3 Tweaky adam anikaRobot antonio \
    belinda boris croak ed edward2 fast grandpa iven iven3 john max miguel pablo pedro rob robosoft2 \
    robosoft4 robosoft6 robosoft8 shelby steph2 travis whisperf zac";

const NAMES: &str = "Anna Peter Maria Sofia Ivan Ali Fatima Kenji Mei Carlos Lucia Omar Olga Nina Hassan \
    Berlin Paris London Tokyo Madrid Roma Cairo Delhi Lima Oslo Wien Praha Boston Toronto";

/// How an utterance is spoken and sent.
#[derive(Clone, Debug)]
pub struct Utterance {
    /// As for `espeak-ng -v`.
    pub voice: String,
    /// `-p`
    pub pitch: usize,
    /// `-s`
    pub speed: usize,
    /// What is said.
    pub text: String,
    /// 300 to 3400 Hz, and not all up to 4000.
    pub telephone_band: bool,
    /// RMS while there is speech, dBov.
    pub level_dbov: f64,
    /// The codec.
    pub law: Law,
}

impl Utterance {
    /// The `n`-th of a set, the same in each run.
    pub fn new(set: Set, n: u64) -> Self {
        let (languages, voices, seed) = match set {
            Set::Tuned => (TUNED, TUNED_VOICES, 0x7000_0000),
            Set::HeldApart => (HELD_APART, HELD_APART_VOICES, 0xa000_0000),
        };
        let mut chance = Chance(seed + n);
        chance.bits();
        let language = chance.one(languages);
        let voices: Vec<&str> = voices.split_whitespace().collect();
        let voice = format!("{}+{}", language.0, chance.one(&voices));
        // A third as espeak-ng has them, the rest from growling to squeaking, slow to hasty.
        let plain = chance.below(3) == 0;
        let pitch = if plain { 50 } else { chance.below(100) };
        let speed = if plain { 175 } else { 80 + chance.below(270) };
        Self {
            voice,
            pitch,
            speed,
            text: text(language.1, &mut chance),
            telephone_band: chance.below(2) == 0,
            level_dbov: *chance.one(&[-10.0, -20.0, -20.0, -30.0]),
            law: *chance.one(&[Law::A, Law::U, Law::Linear]),
        }
    }

    /// Has it spoken: samples at 8 kHz, as they come out of the decoder.
    pub fn speak(&self) -> std::io::Result<Vec<i16>> {
        let mut espeak = Command::new("espeak-ng")
            .args(["-v", &self.voice, "--stdin", "--stdout"])
            .args(["-p", &self.pitch.to_string(), "-s", &self.speed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let wav = espeak.stdout.take().expect("it is piped");
        let mut sox = Command::new("sox");
        sox.args(
            "-V1 -D -t wav --ignore-length - -t raw -r 8000 -e signed -b 16 -c 1 - gain -3"
                .split(' '),
        );
        if self.telephone_band {
            sox.args(["sinc", "300-3400"]);
        }
        let sox = sox
            .stdin(wav)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut stdin = espeak.stdin.take().expect("it is piped");
        stdin.write_all(self.text.as_bytes())?;
        drop(stdin);
        let output = sox.wait_with_output()?;
        espeak.wait()?;
        let mut samples = pcm(&output.stdout);
        samples.truncate(samples.len() / TICK_SAMPLES * TICK_SAMPLES);
        set_level(&mut samples, self.level_dbov);
        through(self.law, &mut samples);
        Ok(samples)
    }
}

/// Words that mean nothing, numbers, letters and names.
fn text(sounds: &Sounds, chance: &mut Chance) -> String {
    let begins: Vec<&str> = sounds.0.split_whitespace().collect();
    let ends: Vec<&str> = sounds.1.split_whitespace().collect();
    let names: Vec<&str> = NAMES.split_whitespace().collect();
    let mut text = String::new();
    for n in 0..60 {
        match chance.below(20) {
            0..3 => text += &chance.below(10usize.pow(1 + n % 6)).to_string(),
            3 => text.push(char::from(b'A' + chance.below(26) as u8)),
            4 => text += *chance.one(&names),
            _ => {
                for _ in 0..=chance.below(4) {
                    text += *chance.one(&begins);
                    text += *chance.one(&ends);
                }
            }
        }
        text += *chance.one(&[" ", " ", " ", " ", " ", ", ", ". ", "? "]);
    }
    text
}

/// Scales to an RMS over the frames in which somebody speaks; what does not fit is clipped.
pub fn set_level(samples: &mut [i16], dbov: f64) {
    let power =
        |f: &[i16]| f.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / f.len().max(1) as f64;
    let peak = samples.chunks(160).map(power).fold(1.0, f64::max);
    let loud: Vec<f64> = samples
        .chunks(160)
        .map(power)
        .filter(|p| *p > peak / 1e4)
        .collect();
    let mean = loud.iter().sum::<f64>() / loud.len().max(1) as f64;
    // 0 dBov is the power of a full-scale square wave.
    let gain = 32768.0 * 10f64.powf(dbov / 20.0) / mean.max(1.0).sqrt();
    for s in samples {
        *s = (f64::from(*s) * gain) as i16;
    }
}

/// Samples of 16 bits, little-endian.
pub fn pcm(bytes: &[u8]) -> Vec<i16> {
    let pairs = bytes.as_chunks().0;
    pairs.iter().map(|b| i16::from_le_bytes(*b)).collect()
}
