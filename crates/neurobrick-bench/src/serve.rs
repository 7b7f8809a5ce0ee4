//! Our side as a process: answers requests line by line.

use std::io::{BufRead, Write};

use neurobrick_evaluate::peak_memory_bytes;

use crate::{
    Answer, BenchError, Engine, Material, ModelEngine, ModelMaterial, Request, Work, decode, encode,
    page_faults, reset_peak_memory, resident_bytes,
};

/// Repeats before the timed ones.
const WARM_UPS: usize = 3;

/// Answers requests from `input` on `output` until the input ends. A request that cannot be met is answered by
/// [`Answer::Failed`].
///
/// # Errors
/// If the pipes break.
pub fn serve(input: impl BufRead, mut output: impl Write) -> Result<(), BenchError> {
    let broken = |action: &str| {
        let action = action.to_owned();
        move |source| BenchError::Io { action, source }
    };
    let mut side = Side { engine: None, start_bytes: resident_bytes() };
    for line in input.lines() {
        let line = line.map_err(broken("read a request"))?;
        let answer = decode(&line)
            .and_then(|request| side.answer(&request))
            .unwrap_or_else(|error| Answer::Failed { message: error.to_string() });
        output.write_all(encode(&answer)?.as_bytes()).map_err(broken("write an answer"))?;
        output.flush().map_err(broken("write an answer"))?;
    }
    Ok(())
}

struct Side {
    engine: Option<AnyEngine>,
    start_bytes: Option<u64>,
}

/// Whatever was opened.
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
enum AnyEngine {
    Stitch(Engine),
    Model(ModelEngine),
}

impl AnyEngine {
    fn eval_loss(&mut self) -> Result<f64, BenchError> {
        match self {
            Self::Stitch(engine) => engine.eval_loss(),
            Self::Model(engine) => engine.eval_loss(),
        }
    }

    fn run(&mut self, work: Work, n: usize) -> Result<Vec<f64>, BenchError> {
        match self {
            Self::Stitch(engine) => engine.run(work, n),
            Self::Model(engine) => engine.run(work, n),
        }
    }

    fn n_sessions(&self) -> usize {
        match self {
            Self::Stitch(engine) => engine.n_sessions(),
            Self::Model(_) => 1,
        }
    }

    fn n_shards(&self) -> usize {
        match self {
            Self::Stitch(engine) => engine.n_shards(),
            Self::Model(engine) => engine.n_shards(),
        }
    }

    fn stitch(&mut self, request: &Request) -> Result<&mut Engine, BenchError> {
        match self {
            Self::Stitch(engine) => Ok(engine),
            Self::Model(_) => Err(BenchError::NotOpen { received: format!("{request:?}") }),
        }
    }
}

impl Side {
    fn opened(&mut self, engine: AnyEngine) -> Answer {
        self.engine = Some(engine);
        Answer::Opened { version: format!("neurobrick {}", env!("CARGO_PKG_VERSION")) }
    }

    fn answer(&mut self, request: &Request) -> Result<Answer, BenchError> {
        if let Request::Open { case, material, n_threads, learning_rate, max_grad_norm, compiled: _ } =
            request
        {
            let material = Material::read(material, case)?;
            let engine = Engine::new(material, *n_threads, *learning_rate, *max_grad_norm)?;
            return Ok(self.opened(AnyEngine::Stitch(engine)));
        }
        if let Request::OpenModel { case, seed, n_threads, learning_rate, max_grad_norm, .. } = request {
            let material = ModelMaterial::draw(case, *seed)?;
            let engine = ModelEngine::new(material, *n_threads, *learning_rate, *max_grad_norm)?;
            return Ok(self.opened(AnyEngine::Model(engine)));
        }
        if let Request::Draw { case, seed, n_threads } = request {
            let engine = Engine::of_case(case, *seed, *n_threads)?;
            return Ok(self.opened(AnyEngine::Stitch(engine)));
        }
        let engine =
            self.engine.as_mut().ok_or_else(|| BenchError::NotOpen { received: format!("{request:?}") })?;
        Ok(match *request {
            Request::Open { .. } | Request::OpenModel { .. } | Request::Draw { .. } | Request::Memory => {
                Answer::Memory { start_bytes: self.start_bytes, peak_bytes: peak_memory_bytes() }
            }
            Request::EvalLoss => Answer::Loss { loss: engine.eval_loss()? },
            Request::WarmUp { work } => {
                let n = WARM_UPS + if work == Work::Train { engine.n_sessions() - 1 } else { 0 };
                let last_s = engine.run(work, n)?.last().copied().unwrap_or(0.0);
                reset_peak_memory();
                let note = match work {
                    Work::Train => format!("batch in {} shards", engine.n_shards()),
                    Work::Forward | Work::SingleTrial => String::new(),
                };
                Answer::Warm { last_s, note }
            }
            Request::Run { work, n } => {
                let before = page_faults();
                let times_s = engine.run(work, n)?;
                let page_faults = page_faults().zip(before).map(|(after, before)| after - before);
                Answer::Times { times_s, page_faults }
            }
            Request::Kept => {
                let (n_parameters, bytes) = engine.stitch(request)?.kept();
                Answer::Kept { n_parameters, bytes }
            }
            Request::Product { n } => Answer::Product { gflops: engine.stitch(request)?.product_gflops(n) },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use neurobrick_models::NdtStitchConfig;

    use super::*;
    use crate::BenchCase;

    fn tiny() -> BenchCase {
        let model = NdtStitchConfig {
            d_stitch: 8,
            d_embed: 8,
            d_model: 8,
            d_mlp: 8,
            n_layers: 1,
            ..NdtStitchConfig::small(6)
        };
        BenchCase { name: "tiny".to_owned(), model, n_units: 5, batch_size: 3, n_sessions: 1 }
    }

    fn ask(requests: &[String]) -> Vec<Answer> {
        let mut output = Vec::new();
        serve(requests.concat().as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap().lines().map(|line| decode(line).unwrap()).collect()
    }

    #[test]
    fn a_session_of_requests_is_answered_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.safetensors");
        let material = Material::draw(&tiny(), 3).unwrap();
        material.write(&path).unwrap();
        let expected = Engine::new(material, 1, 1e-3, 1.0).unwrap().eval_loss().unwrap();
        let open = Request::Open {
            case: tiny(),
            material: path,
            n_threads: 2,
            learning_rate: 1e-3,
            max_grad_norm: 1.0,
            compiled: false,
        };
        let requests = [
            open,
            Request::EvalLoss,
            Request::WarmUp { work: Work::Train },
            Request::EvalLoss,
            Request::Run { work: Work::Forward, n: 2 },
            Request::Run { work: Work::SingleTrial, n: 4 },
            Request::Product { n: 1 },
            Request::Memory,
        ];
        let answers = ask(&requests.map(|r| encode(&r).unwrap()));
        let Answer::Loss { loss } = answers[1] else { panic!("{:?}", answers[1]) };
        assert!((loss / expected - 1.0).abs() < 1e-5, "{loss} {expected}");
        let Answer::Loss { loss: trained } = answers[3] else { panic!("{:?}", answers[3]) };
        assert!(trained < loss, "three steps must lower the loss: {loss} to {trained}");
        assert!(matches!(&answers[4], Answer::Times { times_s, .. } if times_s.len() == 2));
        assert!(matches!(&answers[5], Answer::Times { times_s, .. } if times_s.iter().all(|&t| t > 0.0)));
        assert!(matches!(answers[6], Answer::Product { gflops } if gflops > 0.0));
        assert_eq!(answers.len(), 8);
    }

    #[test]
    fn what_cannot_be_done_is_said_and_the_next_request_is_answered() {
        let answers = ask(&["{\"ask\":\"memory\"}\n".to_owned(), "nonsense\n".to_owned()]);
        let Answer::Failed { message } = &answers[0] else { panic!("{answers:?}") };
        assert!(message.contains("first request must be `open`"), "{message}");
        let Answer::Failed { message } = &answers[1] else { panic!("{answers:?}") };
        assert!(message.contains("nonsense"), "{message}");
    }
}
