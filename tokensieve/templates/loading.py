"""From a template's name to the template."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from tokensieve.errors import InputError, SettingsError
from tokensieve.ingest.records import Message, RowProblem
from tokensieve.templates.built_in import Alpaca, ChatML, Plain, Tulu
from tokensieve.templates.jinja import Jinja
from tokensieve.templates.rendered import Template

TRIAL_SECONDS = 5


def load_template(name: str, tokenizer: PreTrainedTokenizerFast) -> Template:
    """Return the template called `name`: `model`, a built-in one, or the path of a Jinja file.

    Raises SettingsError if there is none of that name, InputError if the model lacks what it needs.
    """
    if name == "model":
        return _model_template(tokenizer)
    if name == "chatml":
        return ChatML()
    with_eos: dict[str, Callable[[str], Template]] = {
        "tulu": Tulu,
        "alpaca": Alpaca,
        "plain": Plain,
    }
    if name in with_eos:
        if not tokenizer.eos_token:
            raise InputError(
                f"{tokenizer.name_or_path}: the tokenizer has no EOS token, which the template "
                f"{name!r} writes after each answer. Set eos_token in its tokenizer_config.json."
            )
        return with_eos[name](tokenizer.eos_token)
    if not Path(name).is_file():
        raise SettingsError(
            f"template: {name!r} is neither `model`, `tulu`, `chatml`, `alpaca`, `plain` nor a file"
        )
    return _tried(Jinja(tokenizer, Path(name).read_text(encoding="utf-8"), Path(name).name))


def _model_template(tokenizer: PreTrainedTokenizerFast) -> Template:
    source = tokenizer.chat_template
    if not isinstance(source, str):
        raise InputError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template of its own. "
            "Choose one: --template tulu, chatml, alpaca, plain, or the path of a Jinja file."
        )
    return _tried(Jinja(tokenizer, source, "model"))


def _tried(template: Jinja) -> Jinja:
    """Return the template if it ends on a small conversation; Jinja's sandbox lets loops run on.

    What else is wrong with it shows in the rows, with their places.
    """
    conversation = [Message("user", "question"), Message("assistant", "answer")]
    try:
        with _time_limit(TRIAL_SECONDS), suppress(RowProblem):
            template.render(conversation)
    except TimeoutError:
        raise InputError(
            f"template {template.name!r}: did not end within {TRIAL_SECONDS} s on two messages. "
            "Look for its loops, or choose another one by --template."
        ) from None
    return template


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the block after so many seconds, in the main thread at least."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _stop(number: int, frame: object) -> None:
    raise TimeoutError
