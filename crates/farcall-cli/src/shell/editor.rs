//! Lines of somebody at a terminal: with a history, and with what may stand at the cursor.
//!
//! The editor blocks, so it has a thread of its own: it reads one line when it is asked to, and no other.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use reedline::{
    ColumnarMenu, Completer, CompletionResult, DefaultHinter, Emacs, ExternalPrinter, FileBackedHistory,
    KeyCode, KeyModifiers, MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent,
    ReedlineMenu, Signal, Span, Suggestion, default_emacs_keybindings,
};
use tokio::sync::{mpsc, oneshot};

use super::complete::Known;
use crate::line::Input;

/// So many lines are remembered.
const HISTORY_MAX: usize = 1000;

/// The thread of the editor.
pub(super) struct Editor {
    ask: mpsc::UnboundedSender<oneshot::Sender<io::Result<Input>>>,
    /// Prints above the line that is being typed.
    pub(super) above: Above,
}

/// Prints above the line that is being typed, from any thread.
pub(super) type Above = Arc<dyn Fn(String) + Send + Sync>;

impl Editor {
    /// Starts it.
    pub(super) fn start(
        known: Arc<Mutex<Known>>,
        commands: &'static [&'static str],
        prompt: String,
    ) -> io::Result<Self> {
        let (ask, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<io::Result<Input>>>();
        let printer = ExternalPrinter::new(64);
        let sender = printer.sender();
        // A line that cannot be shown because so many wait is not worth waiting for.
        let above: Above = Arc::new(move |line| drop(sender.try_send(line)));
        let mut editor = editor(known, commands, printer);
        std::thread::Builder::new().name("line editor".to_owned()).spawn(move || {
            while let Some(answer) = asked.blocking_recv() {
                // Nobody waits for it any more: the console has ended.
                let _ = answer.send(read(&mut editor, &prompt));
            }
        })?;
        Ok(Self { ask, above })
    }

    /// What is typed next.
    pub(super) async fn line(&self) -> io::Result<Input> {
        let (answer, line) = oneshot::channel();
        let gone = || io::Error::other("the line editor has ended");
        self.ask.send(answer).map_err(|_| gone())?;
        line.await.map_err(|_| gone())?
    }
}

fn read(editor: &mut Reedline, prompt: &str) -> io::Result<Input> {
    loop {
        let typed = editor.read_line(&Before(prompt));
        // The process may end while this thread waits: what was typed is written down at once.
        if let Err(error) = editor.sync_history() {
            log::warn!("the history is not written: {error}");
        }
        match typed {
            Ok(Signal::Success(line)) if line.trim_start().starts_with('#') => {
                return Ok(Input::Line(String::new()));
            }
            Ok(Signal::Success(line)) => return Ok(Input::Line(line)),
            Ok(Signal::CtrlD) => return Ok(Input::End),
            // What was typed is gone.
            Ok(_) => {}
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
    }
}

fn editor(
    known: Arc<Mutex<Known>>,
    commands: &'static [&'static str],
    printer: ExternalPrinter<String>,
) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let tab = vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext];
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, ReedlineEvent::UntilFound(tab));
    let menu = ColumnarMenu::default().with_name(MENU);
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let editor = Reedline::create()
        .with_completer(Box::new(AtCursor { known, commands }))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_hinter(Box::new(DefaultHinter::default()))
        .with_ansi_colors(colours)
        .with_external_printer(printer)
        // As in a shell: a line that begins with a space is nobody's business.
        .with_history_exclusion_prefix(Some(" ".to_owned()));
    // A console without a memory is better than none.
    match history() {
        Ok(history) => editor.with_history(Box::new(history)),
        Err(error) => {
            log::warn!("no history: {error}");
            editor
        }
    }
}

const MENU: &str = "what may stand here";

/// The file of the history, which nobody else reads: messages may hold anything.
fn history() -> Result<FileBackedHistory, String> {
    let file = history_file().ok_or("neither XDG_STATE_HOME nor HOME says where it is")?;
    let folder = file.parent().ok_or("it has no folder")?;
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let opened = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&file);
    opened.map_err(|error| error.to_string())?;
    FileBackedHistory::with_file(HISTORY_MAX, file).map_err(|error| error.to_string())
}

fn history_file() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("farcall/history"))
}

struct AtCursor {
    known: Arc<Mutex<Known>>,
    commands: &'static [&'static str],
}

impl Completer for AtCursor {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        let line = line.get(..pos).unwrap_or(line);
        let found = self.known.lock().complete(line, self.commands);
        let suggestions = found.into_iter().map(|found| Suggestion {
            value: found.text,
            description: Some(found.about).filter(|about| !about.is_empty()),
            span: Span::new(found.from.min(pos), pos),
            append_whitespace: found.ends,
            ..Suggestion::default()
        });
        CompletionResult::fresh(suggestions.collect::<Vec<_>>())
    }
}

/// What stands before the line.
struct Before<'a>(&'a str);

impl Prompt for Before<'_> {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }
    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }
    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }
    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed(". ")
    }
    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("(search: {}) ", search.term))
    }
}
