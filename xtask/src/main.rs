//! The one command line of neurobrick: `cargo xtask <verb>`.

mod bench;
mod checks;
mod cli;
mod counts;
mod devices;
mod fetch;
mod parity;
mod recordings;
mod screen;
mod stream;
mod tidy;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match verbs::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen::complain(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}
