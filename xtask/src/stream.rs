//! The verbs `stream` and `decoder`: bins in, answers out, line by line.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::mpsc::{TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use neurobrick::PipelineError;
use neurobrick::config::{DecodeTarget, EvaluateConfig};
use neurobrick::models::NdtStitchConfig;
use neurobrick::pipeline::{self, DecoderQuestion, Pace, StreamLatency};
use neurobrick::schema::SessionId;
use neurobrick::schema::atomic::write_file;
use neurobrick::stream::{BinAnswer, CausalStream, StreamError, StreamSizes};

use crate::cli::{DecoderArgs, StreamArgs, StreamSize};
use crate::screen::say;
use crate::verbs::Failure;

/// Seed of the synthetic bins and weights of measurements.
const SEED: u64 = 42;
/// Lines that may wait while a bin is answered.
const READ_AHEAD: usize = 64;

/// Opens the stream and answers stdin, or measures.
pub(crate) fn run(args: &StreamArgs) -> Result<(), Failure> {
    let mut stream = match (&args.model, args.size) {
        (Some(model), _) => {
            let decoders = args.decoder.iter().map(|path| pipeline::load_decoder(path.as_path()));
            let decoders = decoders.collect::<Result<Vec<_>, _>>()?;
            let session = args.session.as_deref().map(SessionId::new).transpose()?;
            pipeline::open_stream(model, session.as_ref(), args.precision, &decoders)?
        }
        // The flags require one another, so a size is there if no model is.
        (None, size) => {
            pipeline::random_stream(&sizes_of(size.unwrap_or(StreamSize::Small)), args.precision, SEED)?
        }
    };
    if let Some(n_bins) = args.bench {
        show_latency(&StreamLatency::measure(&mut stream, n_bins, pace(args)?, SEED)?, args.json)?;
        return Ok(());
    }
    let output = io::stdout().lock();
    let answered = if args.keep_warm {
        answer_lines(&mut stream, warm_lines(BufReader::new(io::stdin())), output, args.json)
    } else {
        answer_lines(&mut stream, lines(io::stdin().lock()), output, args.json)
    };
    let n_refused = match answered {
        // A closed pipe (`| head`) is the reader's choice, not a failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        other => {
            other.map_err(|source| PipelineError::Io { action: "read", path: "stdin".into(), source })?
        }
    };
    if n_refused == 0 { Ok(()) } else { Err(Failure::RefusedLines(n_refused)) }
}

fn pace(args: &StreamArgs) -> Result<Pace, PipelineError> {
    let pause = Duration::from_millis(args.pause_ms);
    match (pause.is_zero(), args.keep_warm) {
        (true, false) => Ok(Pace::BackToBack),
        (false, false) => Ok(Pace::Asleep(pause)),
        (false, true) => Ok(Pace::Warm(pause)),
        (true, true) => Err(PipelineError::BadValue {
            field: "keep-warm".to_owned(),
            message: "does nothing where bins follow one another; give a --pause-ms".to_owned(),
        }),
    }
}

fn sizes_of(size: StreamSize) -> StreamSizes {
    match size {
        StreamSize::Mtm => NdtStitchConfig::published().stream_sizes(668),
        StreamSize::Small => NdtStitchConfig::small(100).stream_sizes(1000),
    }
}

fn show_latency(found: &StreamLatency, json: bool) -> Result<(), PipelineError> {
    if json {
        say(&serde_json::to_string(found).map_err(not_json)?);
        return Ok(());
    }
    let pace = match found.pause_ms {
        0 => "one right after the other".to_owned(),
        ms if found.kept_warm => format!("{ms} ms apart, kept warm"),
        ms => format!("{ms} ms apart"),
    };
    say(&format!(
        "{}: p50 {:.1} µs, p99 {:.1} µs, max {:.1} µs ({} bins, {pace}; {} units, {} layers of {}, {:.1} MB of weights a bin)",
        found.precision,
        found.p50_us,
        found.p99_us,
        found.max_us,
        found.n_bins,
        found.n_units,
        found.n_layers,
        found.d_model,
        found.weight_bytes as f64 / 1e6,
    ));
    Ok(())
}

fn not_json(error: serde_json::Error) -> PipelineError {
    PipelineError::BadFile { path: "stdout".into(), message: error.to_string() }
}

/// Lines one after the other: the next goes into the buffer, and `false` is the end.
fn lines(mut input: impl BufRead) -> impl FnMut(&mut CausalStream, &mut String) -> io::Result<bool> {
    move |_, line| {
        line.clear();
        Ok(input.read_line(line)? > 0)
    }
}

/// As [`lines`], while the stream keeps warm: another thread reads ahead, by a few lines at most.
fn warm_lines(
    mut input: impl BufRead + Send + 'static,
) -> impl FnMut(&mut CausalStream, &mut String) -> io::Result<bool> {
    let (to_stream, arrivals) = sync_channel::<io::Result<String>>(READ_AHEAD);
    let (give_back, used) = sync_channel::<String>(READ_AHEAD);
    // It is never joined: at the end of a closed output it may still wait for input.
    thread::spawn(move || {
        loop {
            let mut line = used.try_recv().unwrap_or_default();
            line.clear();
            let line = match input.read_line(&mut line) {
                Ok(0) => return,
                Ok(_) => Ok(line),
                Err(error) => Err(error),
            };
            let is_last = line.is_err();
            if to_stream.send(line).is_err() || is_last {
                return;
            }
        }
    });
    move |stream, line| {
        let mut arrived = None;
        stream.keep_warm(|| match arrivals.try_recv() {
            Ok(line) => {
                arrived = Some(line);
                true
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => true,
        });
        let Some(next) = arrived else { return Ok(false) };
        // A buffer that finds no room, or no reader any more, is dropped.
        let _ = give_back.try_send(std::mem::replace(line, next?));
        Ok(true)
    }
}

/// Answers every line of `next_line` with one line, at once: a bin with rates and behavior, a line that is no bin with
/// the reason. An empty line begins a window and has no answer. Returns how many lines were refused.
///
/// Only reading and writing can fail: a refused bin leaves the stream as it was, so the next one can follow.
fn answer_lines(
    stream: &mut CausalStream,
    mut next_line: impl FnMut(&mut CausalStream, &mut String) -> io::Result<bool>,
    mut output: impl Write,
    json: bool,
) -> io::Result<usize> {
    let (mut line, mut answer, mut counts) = (String::new(), String::new(), Vec::new());
    let mut n_refused = 0;
    for number in 1.. {
        if !next_line(stream, &mut line)? {
            break;
        }
        if line.trim().is_empty() {
            stream.begin_window();
            continue;
        }
        let found = read_counts(line.trim(), &mut counts)
            .and_then(|()| stream.predict_bin(&counts).map_err(|e| for_line(&e)));
        answer.clear();
        match found {
            Ok(found) => write_answer(&mut answer, &found, json),
            Err(message) => {
                n_refused += 1;
                write_refusal(&mut answer, number, &message, json);
            }
        }
        answer.push('\n');
        output.write_all(answer.as_bytes())?;
        output.flush()?;
    }
    Ok(n_refused)
}

/// A refusal in the words of the command line.
fn for_line(error: &StreamError) -> String {
    match error {
        StreamError::WindowFull { n_bins } => {
            format!("the window of {n_bins} bins is full; send an empty line to begin a new one")
        }
        other => other.to_string(),
    }
}

/// Counts of a line: a JSON array, or numbers separated by commas or by blanks.
fn read_counts(line: &str, counts: &mut Vec<f32>) -> Result<(), String> {
    counts.clear();
    if line.starts_with('[') {
        *counts = serde_json::from_str(line).map_err(|e| format!("not an array of counts: {e}"))?;
        return Ok(());
    }
    let mut push = |word: &str| match word.parse() {
        Ok(count) => {
            counts.push(count);
            Ok(())
        }
        Err(_) => Err(format!("expected a count, received `{word}`")),
    };
    if line.contains(',') {
        line.split(',').map(str::trim).try_for_each(&mut push)
    } else {
        line.split_whitespace().try_for_each(&mut push)
    }
}

/// Rates in spikes per bin, then the values of the decoders by name. Results are dropped, since writing to a string
/// cannot fail.
fn write_answer(text: &mut String, answer: &BinAnswer<'_>, json: bool) {
    if json {
        let _ = write!(text, "{{\"bin\":{},\"rates\":", answer.bin);
        write_array(text, answer.rates);
        text.push_str(",\"behavior\":{");
        for (i, decoded) in answer.behavior.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(text, "{comma}{}:{{", quoted(decoded.name()));
            for (k, (name, value)) in decoded.outputs().iter().zip(decoded.values()).enumerate() {
                let comma = if k == 0 { "" } else { "," };
                let _ = write!(text, "{comma}{}:{}", quoted(name), number(*value));
            }
            text.push('}');
        }
        text.push_str("}}");
        return;
    }
    for (i, rate) in answer.rates.iter().enumerate() {
        let _ = write!(text, "{}{rate}", if i == 0 { "" } else { " " });
    }
    for decoded in answer.behavior {
        let _ = write!(text, " | {}:", decoded.name());
        for (name, value) in decoded.outputs().iter().zip(decoded.values()) {
            let _ = write!(text, " {name} {value}");
        }
    }
}

fn write_refusal(text: &mut String, line: usize, message: &str, json: bool) {
    let _ = if json {
        write!(text, "{{\"line\":{line},\"error\":{}}}", quoted(message))
    } else {
        write!(text, "error: line {line}: {message}")
    };
}

fn write_array(text: &mut String, values: &[f32]) {
    text.push('[');
    for (i, value) in values.iter().enumerate() {
        let _ = write!(text, "{}{}", if i == 0 { "" } else { "," }, number(*value));
    }
    text.push(']');
}

/// A number as JSON has it: a rate that overflowed is `null`.
fn number(value: f32) -> serde_json::Value {
    serde_json::Number::from_f64(f64::from(value)).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

fn quoted(text: &str) -> serde_json::Value {
    serde_json::Value::String(text.to_owned())
}

/// Fits a decoder and writes it.
pub(crate) fn decoder(args: &DecoderArgs) -> Result<(), Failure> {
    let config: EvaluateConfig = neurobrick::config::load(&args.config)?;
    let targets = &config.scoring.decode;
    let Some(target) = targets.iter().find(|t| t.name() == args.target) else {
        let known: Vec<&str> = targets.iter().map(DecodeTarget::name).collect();
        let message = format!("`scoring.decode` has no `{}`; it has: {}", args.target, known.join(", "));
        return Err(PipelineError::Config { path: args.config.clone(), message }.into());
    };
    let question = DecoderQuestion {
        model: &args.model,
        session: &SessionId::new(&args.session)?,
        target,
        bins_per_trial: args.bins_per_trial,
    };
    let fitted = pipeline::fit_decoder(&question, &config.data, config.seed, args.n_threads())?;
    write_decoder(&args.out, &fitted.decoder)?;
    let last = &fitted.last_bin;
    say(&format!(
        "{}: balanced accuracy at the last bin {:.3} [{:.3}, {:.3}] on {} test trials (chance 0.5); all bins {:.3} right; fitted on {} trials, C = {}",
        args.target,
        last.balanced,
        last.balanced_interval.lo,
        last.balanced_interval.hi,
        fitted.n_test,
        fitted.all_bins,
        fitted.n_fit,
        fitted.c,
    ));
    say(&format!("decoder: {}", args.out.display()));
    Ok(())
}

fn write_decoder(path: &Path, decoder: &neurobrick::stream::Decoder) -> Result<(), Failure> {
    let mut text = serde_json::to_string(decoder).map_err(not_json)?;
    text.push('\n');
    Ok(write_file(path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use neurobrick::stream::{Decoder, DecoderKind, Precision};

    /// Three units, windows of two bins, a decoder.
    fn stream() -> CausalStream {
        let sizes = StreamSizes {
            n_units: 3,
            n_bins: 2,
            d_stitch: 4,
            d_embed: 4,
            d_model: 2,
            n_layers: 1,
            n_heads: 1,
            d_mlp: 4,
        };
        let decoder = Decoder {
            name: "choice".to_owned(),
            kind: DecoderKind::Logistic,
            outputs: vec!["left".to_owned(), "right".to_owned()],
            weights: vec![vec![0.0]; 2],
            bias: vec![0.0],
        };
        pipeline::random_stream(&sizes, Precision::F32, 1).unwrap().with_decoders(&[decoder]).unwrap()
    }

    fn answers(input: &str, json: bool) -> (Vec<String>, usize) {
        let mut output = Vec::new();
        let n_refused = answer_lines(&mut stream(), lines(input.as_bytes()), &mut output, json).unwrap();
        let mut warm = Vec::new();
        let ahead = warm_lines(io::Cursor::new(input.as_bytes().to_vec()));
        assert_eq!(answer_lines(&mut stream(), ahead, &mut warm, json).unwrap(), n_refused);
        assert_eq!(warm, output, "keeping warm changes an answer to {input:?}");
        (String::from_utf8(output).unwrap().lines().map(str::to_owned).collect(), n_refused)
    }

    #[test]
    fn bins_may_be_written_in_three_ways() {
        let expected = answers("0 2 1\n", false).0;
        assert!(expected[0].ends_with(" | choice: left 0.5 right 0.5"), "{expected:?}");
        assert_eq!(expected[0].split(" | ").next().unwrap().split(' ').count(), 3);
        for text in ["0,2,1\n", " 0, 2, 1 \n", "[0, 2, 1]\n", "0\t2 1"] {
            assert_eq!(answers(text, false), (expected.clone(), 0), "{text:?}");
        }
        assert_ne!(answers("0 2 0\n", false).0, expected);
    }

    #[test]
    fn every_bin_has_one_answer_and_refused_lines_leave_no_trace() {
        let clean = answers("0 2 1\n1 0 0\n\n0 2 1\n", false);
        assert_eq!((clean.0.len(), clean.1), (3, 0));
        assert_eq!(clean.0[0], clean.0[2], "an empty line begins a window");
        let (found, n_refused) =
            answers("0 2 1\n0 1\n1 0 0\n1 0 0\n\n0 -1 0\n1,,2\n[0, 1\n0 x 1\n0 2 1\n", false);
        assert_eq!(n_refused, 6);
        assert_eq!([&found[0], &found[2], &found[8]], [&clean.0[0], &clean.0[1], &clean.0[0]]);
        for (answer, start) in [
            (1, "error: line 2: a bin of this session has 3 counts, received 2"),
            (3, "error: line 4: the window of 2 bins is full; send an empty line to begin a new one"),
            (4, "error: line 6: counts must be finite and not negative, received -1 for unit 1"),
            (5, "error: line 7: expected a count, received ``"),
            (6, "error: line 8: not an array of counts"),
            (7, "error: line 9: expected a count, received `x`"),
        ] {
            assert!(found[answer].starts_with(start), "{}", found[answer]);
        }
    }

    #[test]
    fn json_answers_parse() {
        let (found, n_refused) = answers("0 2 1\n0 \"\n", true);
        assert_eq!(n_refused, 1);
        let bin: serde_json::Value = serde_json::from_str(&found[0]).unwrap();
        assert_eq!(bin["bin"], 0);
        assert_eq!(bin["rates"].as_array().unwrap().len(), 3);
        assert_eq!(bin["behavior"]["choice"]["right"], 0.5);
        let refused: serde_json::Value = serde_json::from_str(&found[1]).unwrap();
        assert_eq!(refused["line"], 2);
        assert_eq!(refused["error"], "expected a count, received `\"`");
    }
}
