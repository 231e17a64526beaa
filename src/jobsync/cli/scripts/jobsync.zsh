#compdef jobsync
# zsh completion for jobsync; generated, and asks jobsync itself for what only the database knows
_jobsync() {
    local at=jobsync word asked='' skip='' before=${words[CURRENT-1]}
    local -i n=0
    local -a found choices values
    for word in ${words[2,CURRENT-1]}; do
        if [[ -n $skip ]]; then
            skip=''
            continue
        fi
        case "$at $word" in
        (@paths@)
            at="$at $word"
            continue
            ;;
        esac
        case "$word" in
        (@valued@) skip=1 ;;
        (-*) ;;
        (*) n=n+1 ;;
        esac
    done
    case "$at" in
@cases@
    esac
    [[ -n $skip ]] && found=() || before=$n
    case "$at $before" in
@places@
    esac
    if [[ -n $asked && ${words[CURRENT]} != -* ]]; then
        for word in "${(@f)$(jobsync values $asked 2>/dev/null </dev/null)}"; do
            [[ -n $word ]] && values+=("${word%%$'\t'*}:${word#*$'\t'}")
        done
    fi
    if (( $#values )); then
        _describe "$asked" values
    else
        found+=($choices)
        _describe 'jobsync' found || _files
    fi
}
if [[ $funcstack[1] == _jobsync ]]; then
    _jobsync "$@"
else
    compdef _jobsync jobsync
fi
