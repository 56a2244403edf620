use clap_complete::Shell;

/// Print the completion script of a shell.
///
/// For bash: fairweir completions bash > ~/.local/share/bash-completion/completions/fairweir
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, command: &mut clap::Command) {
        clap_complete::generate(self.shell, command, "fairweir", &mut std::io::stdout());
    }
}
