"""The scripts by which shells ask this program what may follow (click's protocol).

As click's own, but that they ask the program that stands on the command line: it need not be on the PATH. And
nothing it might say on stderr shows up in the middle of somebody's typing.
"""

_BASH = r"""# Herald's completion for bash (4.4 or newer). Now: source <(herald completion bash)
# For good: put that line into ~/.bashrc.
_herald_completion() {
    local IFS=$'\n'
    local response completion type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \
        _HERALD_COMPLETE=bash_complete "${1/#\~/$HOME}" 2>/dev/null)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == 'dir' ]]; then
            COMPREPLY=()
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            [[ $value == *= ]] && compopt -o nospace
            COMPREPLY+=("$value")
        fi
    done
    return 0
}
complete -o nosort -F _herald_completion herald
"""

_ZSH = r"""#compdef herald
# Herald's completion for zsh. Now: source <(herald completion zsh)
# For good: put that line into ~/.zshrc, below compinit.
_herald_completion() {
    local -a completions completions_with_descriptions response
    local type key descr program=${words[1]/#\~/$HOME}
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
        _HERALD_COMPLETE=zsh_complete $program 2>/dev/null)}")
    for type key descr in ${response}; do
        if [[ "$type" == "plain" ]]; then
            if [[ "$descr" == "_" ]]; then
                completions+=("$key")
            else
                completions_with_descriptions+=("$key":"$descr")
            fi
        elif [[ "$type" == "dir" ]]; then
            _path_files -/
        elif [[ "$type" == "file" ]]; then
            _path_files -f
        fi
    done
    if [ -n "$completions_with_descriptions" ]; then
        _describe -V unsorted completions_with_descriptions -U
    fi
    if [ -n "$completions" ]; then
        compadd -U -V unsorted -a completions
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _herald_completion "$@"
else
    compdef _herald_completion herald
fi
"""

_FISH = r"""# Herald's completion for fish. Now: herald completion fish | source
# For good: herald completion fish > ~/.config/fish/completions/herald.fish
function _herald_completion
    set -l program (string replace -r '^~' $HOME -- (commandline -po)[1])
    set -l response (env _HERALD_COMPLETE=fish_complete COMP_WORDS=(commandline -cp) \
        COMP_CWORD=(commandline -t) $program 2>/dev/null)
    for completion in $response
        set -l metadata (string split -m 1 "," -- $completion)
        if test "$metadata[1]" = "dir"
            __fish_complete_directories $metadata[2]
        else if test "$metadata[1]" = "file"
            __fish_complete_path $metadata[2]
        else if test "$metadata[1]" = "plain"
            echo $metadata[2]
        end
    end
end
complete --no-files --command herald --arguments "(_herald_completion)"
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
