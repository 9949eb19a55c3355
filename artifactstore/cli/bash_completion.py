"""Completion in bash, which takes words apart at the `:` and `@` of references as well as at blanks.

So the line itself is handed over, not the words that bash makes of it, and what is offered begins where bash's last
word does.
"""

import os

from click.shell_completion import BashComplete, CompletionItem
from click.shell_completion import split_arg_string as words_of

_SCRIPT = """\
%(complete_func)s() {
    local IFS=$'\\n'
    local response completion kind value

    response=$(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1")

    COMPREPLY=()
    for completion in $response; do
        IFS=',' read -r kind value <<< "$completion"

        if [[ $kind == 'dir' ]]; then
            compopt -o dirnames
        elif [[ $kind == 'file' ]]; then
            compopt -o default
        elif [[ $kind == 'plain' ]]; then
            COMPREPLY+=("$value")
        fi
    done

    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Completion of a line as it is typed, in the place of click's own."""

    source_template = _SCRIPT

    def get_completion_args(self) -> tuple[list[str], str]:
        """The whole words of the line before the cursor, and the one that the cursor stands behind."""
        # With a letter behind the cursor the last word is there also where nothing of it is typed yet.
        *before, last = words_of(os.environ["COMP_WORDS"] + "x")
        return before[1:], last[:-1]

    def format_completion(self, item: CompletionItem) -> str:
        """An item as the script reads it, without what bash keeps of the word by itself."""
        typed = self.get_completion_args()[1]
        breaks = os.environ.get("COMP_WORDBREAKS", "")
        kept = max((at + 1 for at, letter in enumerate(typed) if letter in breaks), default=0)
        value = str(item.value)
        return f"{item.type},{value[kept:] if value.startswith(typed[:kept]) else value}"
