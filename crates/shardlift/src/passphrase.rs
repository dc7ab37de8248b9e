//! The passphrase of a CA's keys, from where the operator says, or from the terminal.

use crate::cli::PassphraseArguments;
use crate::confirm::can_ask;
use crate::exit::{Exit, Failure};
use shardlift_pki::Passphrase;
use shardlift_pki::passphrase::PassphraseSource;

/// How a passphrase is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It opens something.
    Once,
    /// It is a new one.
    Twice,
}

/// What the arguments say; `None`: nothing.
pub(crate) fn given(arguments: &PassphraseArguments, asked: Asked) -> Result<Option<Passphrase>, Failure> {
    let PassphraseArguments { passphrase_file, passphrase_fd, passphrase_credential, ask_passphrase } = arguments;
    let source = match (passphrase_file, passphrase_fd, passphrase_credential) {
        (Some(path), _, _) => PassphraseSource::File(path.clone()),
        (_, Some(number), _) => PassphraseSource::Descriptor(*number),
        (_, _, Some(name)) => PassphraseSource::Credential(name.clone()),
        _ if *ask_passphrase => return ask("the CA's keys", asked).map(Some),
        _ => return Ok(None),
    };
    let read = source.read();
    read.map(Some).map_err(|error| Failure::caused("there is no passphrase", &error).with_exit(Exit::Usage))
}

/// What the arguments say, or what is typed.
pub(crate) fn needed(arguments: &PassphraseArguments, of: &str, asked: Asked) -> Result<Passphrase, Failure> {
    if let Some(passphrase) = given(arguments, asked)? {
        return Ok(passphrase);
    }
    if !can_ask() {
        let failure = Failure::new(Exit::Usage, format!("the passphrase of {of} is needed, and stdin is no terminal"));
        return Err(failure.advise("give --passphrase-file, --passphrase-fd or --passphrase-credential"));
    }
    ask(of, asked)
}

fn ask(of: &str, asked: Asked) -> Result<Passphrase, Failure> {
    let prompt = |prompt: &str| {
        let typed = rpassword::prompt_password(prompt);
        let typed = typed.map_err(|error| Failure::caused("no passphrase can be asked for", &error))?;
        Ok::<_, Failure>(Passphrase::new(typed))
    };
    let first = prompt(&format!("Passphrase of {of}: "))?;
    if asked == Asked::Twice && prompt("The same again: ")?.expose() != first.expose() {
        return Err(Failure::new(Exit::Usage, "the two passphrases differ"));
    }
    if first.expose().is_empty() {
        return Err(Failure::new(Exit::Usage, "the passphrase is empty"));
    }
    Ok(first)
}
