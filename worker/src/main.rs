use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|first| first == worker::supervisor::VERB).is_some() {
        return worker::supervisor::supervise_main(arguments);
    }
    ExitCode::from(2)
}
